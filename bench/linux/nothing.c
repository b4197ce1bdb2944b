// Does nothing: what process.c executes. Owns nothing.
int main(void)
{
	return 0;
}
