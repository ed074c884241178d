"""Measures Quiver and its peers on the same data, one at a time, and writes the report.

    make bench-peers                      what has no figures yet
    make bench-peers PEERS="quiver zvec"  these, whether they have figures or not
    make bench-peers ROWS=1000000         the set enlarged to so many rows (enlarge.py)

Results lie in `results/<name>.json` in the folder given (`results-<rows>` of an enlarged set); a peer's
data is deleted when it is done.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import adapters
import report
from dataset import DataSet
from enlarge import enlarge

MEASURE = Path(__file__).with_name("measure.py")
# Made of count_syncs.c, in the folder of the results.
SYNC_COUNTER = "count_syncs.so"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", help=f"of {', '.join(adapters.PEERS)}")
    parser.add_argument("--data", type=Path, required=True, help="folder that `make bench-data` made")
    parser.add_argument("--folder", type=Path, required=True, help="for results and the engines' data")
    parser.add_argument("--docs", type=Path, required=True, help="folder of the table and the plot")
    parser.add_argument("--rows", type=int, help="to which the set is enlarged")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load for each figure")
    parser.add_argument("--bound", type=float, default=900.0, help="seconds that a step of a peer may take")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(adapters.PEERS):
        sys.exit(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(adapters.PEERS)}")
    suffix = f"-{options.rows}" if options.rows else ""
    if options.rows:
        enlarged = options.folder / f"rows{suffix}"
        enlarge(options.data, enlarged, options.rows)
        options.data = enlarged
    results = options.folder / f"results{suffix}"
    results.mkdir(parents=True, exist_ok=True)
    names = options.peers or [name for name in adapters.PEERS if not (results / f"{name}.json").exists()]
    truth = options.folder / f"truth{suffix}.npz"
    if names:
        print("exact answers", flush=True)
        _ = DataSet(options.data, truth).truth
    # Now and after each, so that an interrupted run leaves a table too.
    report.write(results, options.docs, suffix)
    failed = []
    for name in names:
        if not measure(name, options, truth, results):
            failed.append(name)
        report.write(results, options.docs, suffix)
    print(f"see {options.docs / f'benchmarks-peers{suffix}.md'}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def measure(name: str, options: argparse.Namespace, truth: Path, results: Path) -> bool:
    """Both halves of a peer's measurement. Its results are replaced when both succeeded."""
    print(f"{name} ({list(adapters.PEERS).index(name) + 1} of {len(adapters.PEERS)})", flush=True)
    folder = options.folder / "data" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    figures = {"name": name, "begun": time.strftime("%Y-%m-%d %H:%M"), "load_before": os.getloadavg()[0]}
    common = ["--data", options.data, "--folder", folder, "--truth", truth, "--seconds", str(options.seconds)]
    try:
        for step in ("ingest", "search"):
            output = folder / f"{step}.out"
            begun = time.monotonic()
            command = [sys.executable, MEASURE, step, name, *common, "--output", output]
            # While it searches, an engine runs without what counts its syncs.
            counting = {"LD_PRELOAD": str(options.folder.resolve() / SYNC_COUNTER), "SYNCS": str(folder / "syncs")}
            run_bounded(command, options.bound, counting if step == "ingest" else {})
            figures |= json.loads(output.read_text())
            print(f"  {step}: {time.monotonic() - begun:.0f} s", flush=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        print(f"  {failure}", file=sys.stderr, flush=True)
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    partial = results / f"{name}.new"
    partial.write_text(json.dumps(figures, indent=1))
    partial.rename(results / f"{name}.json")
    return True


def run_bounded(command: list, seconds: float, environment: dict[str, str]) -> None:
    """Runs a command; when it takes too long or this is interrupted, its servers end with it."""
    with subprocess.Popen(command, start_new_session=True, env=os.environ | environment) as process:
        try:
            code = process.wait(seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if code:
        raise subprocess.CalledProcessError(code, command)


if __name__ == "__main__":
    main()
