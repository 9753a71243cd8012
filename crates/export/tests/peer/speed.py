"""Exported graphs in ONNX Runtime against the runtime, 2 threads: prints a table for docs/export.md. Run it on a quiet machine."""
import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

SIZES = [("1x224x224", 20), ("8x224x224", 6), ("64x32x32", 10)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="the example `peer`, built")
    parser.add_argument("--run", default="random:paper")
    args = parser.parse_args()
    print("| images | ONNX Runtime, free size | ONNX Runtime, fixed size | dyntta-runtime |\n|---|---|---|---|")
    for size, runs in SIZES:
        n = int(size.split("x")[0])
        row = []
        for options in ("view=224", "view=224,size=" + size.split("x", 1)[1]):
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run([args.program, args.run, folder, options, size], check=True)
                session_options = onnxruntime.SessionOptions()
                session_options.intra_op_num_threads = 2
                session = onnxruntime.InferenceSession(str(Path(folder) / "enhancer.onnx"), session_options)
                image = np.load(Path(folder) / f"{size}.npz")["image"]
                session.run(["enhanced"], {"image": image})
                times = []
                for _ in range(runs):
                    start = time.perf_counter()
                    session.run(["enhanced"], {"image": image})
                    times.append(time.perf_counter() - start)
                row.append(f"{1e3 * statistics.median(times) / n:.1f}")
                if "size" not in options:
                    timed = subprocess.run([args.program, args.run, folder, f"{options},time={runs}", size],
                                           check=True, capture_output=True, text=True, env={"RAYON_NUM_THREADS": "2"})
                    own = json.loads(timed.stdout)[size] / n
        print(f"| {size} | {row[0]} | {row[1]} | {own:.1f} |", flush=True)


if __name__ == "__main__":
    main()
