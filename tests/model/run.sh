#!/bin/sh
# Model checking of the channel protocol: spin makes a program of each model, which visits every state. Prints one line
# for each model, and for each mutant (a model that lacks one rule), which must fail. FULL=1: a larger one too (6 minutes,
# 2.3 GB). Spin knows no weak memory, so the fences are checked by litmus tests (litmus.py; by herd7 too where it is
# installed).
# usage: run.sh [WORD]      those whose name holds the word; `litmus` is all litmus tests
set -u
word=${1:-}
chosen=0
cd "$(dirname "$0")/../.."
build=build/model
failures=0

# wanted name: whether the word chooses it
wanted() {
	case "$1" in
	*"$word"*) chosen=$((chosen + 1)) ;;
	*) return 1 ;;
	esac
}

if wanted litmus; then
	python3 tests/model/litmus.py tests/model/litmus/*.litmus || failures=$((failures + 1))
fi
if wanted litmus && command -v herd7 >/dev/null; then
	for litmus in tests/model/litmus/*.litmus; do
		if herd7 -model riscv.cat "$litmus" 2>&1 | grep -q '^Observation .* Never'; then
			echo "PASS herd7 $litmus: never"
		else
			echo "FAIL herd7 $litmus: the outcome is allowed, or herd7 did not run"
			failures=$((failures + 1))
		fi
	done
fi

if ! command -v spin >/dev/null; then
	echo "SKIP models: spin is not installed"
	exit "$failures"
fi
mkdir -p "$build"

# model_build name model options: makes $build/name, if the word chooses it; what is expected of one that it does not
# choose is passed over
model_build() {
	skipped=1
	wanted "$1" || return 0
	skipped=
	directory="$build/$1.d"
	rm -rf "$directory" && mkdir -p "$directory"
	# shellcheck disable=SC2086 # options are words
	(cd "$directory" && spin -a $3 "../../../tests/model/$2.pml" >spin.log 2>&1 &&
		"${CC:-gcc}" -O2 -w -DSAFETY -DMEMLIM="${MEMLIM:-1500}" $4 -I../../../include -o pan pan.c) || {
		echo "FAIL $1 does not build: see $directory"
		failures=$((failures + 1))
	}
}

# model_run name mutant: what pan says about errors, then states
model_run() {
	(cd "$build/$1.d" && MUTANT=$2 timeout "${LIMIT:-600}" ./pan -m300000 >"$2.log" 2>&1)
	log="$build/$1.d/$2.log"
	error=$(sed -n 's/^pan:1: *//p' "$log" | head -1)
	states=$(awk '/states, stored/ { print $1 }' "$log")
	clean=0
	grep -q 'errors: 0$' "$log" && ! grep -qE 'MEMLIM|too small|out of memory' "$log" && clean=1
}

expect_pass() {
	[ -z "$skipped" ] || return 0
	model_run "$1" 0
	if [ "$clean" = 1 ]; then
		echo "PASS $1: $2, $states states"
	else
		echo "FAIL $1: $2: ${error:-not finished, see $log}"
		failures=$((failures + 1))
	fi
}

# The mutants' names are those of the model's list.
expect_fail() {
	[ -z "$skipped" ] || return 0
	model_run "$1" "$3"
	name=$(sed -n "s/^#define \([A-Z_]*\) c_expr { mutant == $3 }.*/\1/p" "tests/model/$2.pml")
	if [ -n "$error" ] && [ -n "$name" ]; then
		echo "PASS $1 mutant $name fails: $error"
	else
		echo "FAIL $1 mutant $3 $name was not found out: see $log"
		failures=$((failures + 1))
	fi
}

# A model that is wrong by its numbers.
expect_refusal() {
	[ -z "$skipped" ] || return 0
	model_run "$1" 0
	if [ -n "$error" ]; then
		echo "PASS $1: $2 fails: $error"
	else
		echo "FAIL $1: $2 was not found out: see $log"
		failures=$((failures + 1))
	fi
}

model_build doorbell doorbell "" ""
expect_pass doorbell "ring and doorbell, two deaths of the consumer"
for mutant in 1 2 3 4 5 6 7 8 9 10 11 12; do
	expect_fail doorbell doorbell $mutant
done

model_build adoption-one adoption "-DREQUESTS=2 -DSERVER_DEATHS=1" ""
expect_pass adoption-one "two requests, one death of the server"
for mutant in 1 2 3 4 5 6 7 8 9 10 11 12; do
	expect_fail adoption-one adoption $mutant
done

model_build adoption-twice adoption "-DREQUESTS=2 -DSERVER_DEATHS=2" ""
expect_pass adoption-twice "two requests, two deaths of the server, the second one also during adoption"

model_build adoption-three adoption "-DREQUESTS=3 -DSERVER_DEATHS=1" ""
expect_pass adoption-three "three requests in two slots, one death of the server"

model_build adoption-client adoption "-DREQUESTS=2 -DSERVER_DEATHS=1 -DCLIENT_DEATHS=1" ""
expect_pass adoption-client "two requests, one death of each side, the client back or gone for ever"
for mutant in 13 14; do
	expect_fail adoption-client adoption $mutant
done

model_build adoption-ring adoption "-DREQUESTS=4 -DSERVER_DEATHS=1 -DRING=3" ""
expect_refusal adoption-ring "a ring of fewer places than twice the slots"

if [ -n "${FULL:-}" ]; then
	LIMIT=1800
	MEMLIM=4000
	model_build adoption-large adoption "-DREQUESTS=3 -DSERVER_DEATHS=2" "-DCOLLAPSE"
	expect_pass adoption-large "three requests in two slots, two deaths of the server"
fi

if [ "$chosen" = 0 ]; then
	echo "model: no case holds '$word'"
	exit 1
fi
[ "$failures" = 0 ] || echo "$failures failures"
[ "$failures" = 0 ]
