#!/bin/sh
# Coverage report of the unit tests by gcovr: text on the terminal (total only), text and HTML in BUILD/coverage.
# usage: coverage.sh BUILD
set -eu
build=$1
find "$build/host" -name '*.gcda' 2>/dev/null | grep -q . || exit 0
mkdir -p "$build/coverage"
gcovr --root . --exclude 'tests/' --exclude 'build/' --txt "$build/coverage/coverage.txt" \
	--html-details "$build/coverage/index.html" "$build/host" >"$build/coverage/gcovr.log" 2>&1 || {
	echo "gcovr failed; see $build/coverage/gcovr.log" >&2
	exit 1
}
awk '/^TOTAL/ { print "line coverage " $4 " (build/coverage/index.html)" }' "$build/coverage/coverage.txt"
