# words.h is a header alone.
TEST_test_words :=
