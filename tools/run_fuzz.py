#!/usr/bin/env python3
"""Runs libFuzzer programs for a while each; a finding is a failure, and its input is kept.

usage: run_fuzz.py SECONDS PROGRAM...
Seeds come from tests/fuzz/corpus/NAME/ where that exists; what was found useful stays in build/fuzz/NAME.corpus/.
"""
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from results import write_result  # noqa: E402


def run_fuzzer(program, seconds):
    name = Path(program).name
    corpus = Path(f"build/fuzz/{name}.corpus")
    corpus.mkdir(parents=True, exist_ok=True)
    log = Path(f"build/log/fuzz/{name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    seeds = Path(f"tests/fuzz/corpus/{name}")
    command = [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024",
               f"-artifact_prefix=build/fuzz/{name}-", str(corpus)] + ([str(seeds)] if seeds.is_dir() else [])
    with open(log, "wb") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode
    text = log.read_text(errors="replace")
    runs = next((line.split()[1] for line in reversed(text.splitlines()) if line.startswith("Done ")), "?")
    return code, runs, log, text


def main():
    seconds, programs = int(sys.argv[1]), sys.argv[2:]
    failed = 0
    for program in programs:
        code, runs, log, text = run_fuzzer(program, seconds)
        failed += code != 0
        print(f"{'FAIL' if code else 'PASS'} {Path(program).name}: {runs} runs in {seconds} s ({log})")
        if code:
            artifact = next((line.split("written to ")[1] for line in text.splitlines() if "written to " in line), "")
            print("\n".join("     " + line for line in text.splitlines() if "ERROR" in line or "SUMMARY" in line))
            print(f"     again: {program} {artifact}")
        sys.stdout.flush()
    print(f"fuzz: {len(programs) - failed} passed, {failed} failed")
    write_result("fuzz", len(programs) - failed, failed)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
