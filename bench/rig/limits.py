# SPDX-License-Identifier: Apache-2.0
"""What the machine itself can do at most, to judge the rows by: durable writes and files, turns over loopback, signatures of a TLS handshake."""
import json
import os
import re
import shutil
import subprocess
import time

from .measure import MAILLOAD, results

SECONDS, PORT = 3, 22999


def answer(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def fdatasync_rate(folder, writers):
    output = answer("fio", "--name=flush", f"--directory={folder}", "--rw=write", "--bs=4k", "--size=16m", "--fdatasync=1", f"--numjobs={writers}",
                 f"--runtime={SECONDS}", "--time_based", "--group_reporting", "--output-format=json")
    return json.loads(output)["jobs"][0]["write"]["iops"]


def file_rate(folder, writers):
    return results(answer(MAILLOAD, "fsfile", "--folder", folder, "--connections", str(writers), "--operations", "3000"))[0]["rate"]


def loopback_rate(address, connections):
    server = f"{address}:{PORT}"
    echod = subprocess.Popen([MAILLOAD, "echod", "--server", server, "--seconds", "60"])
    try:
        time.sleep(0.3)
        output = answer(MAILLOAD, "echo", "--server", server, "--connections", str(connections), "--operations", str(10000 * connections))
        return results(output)[0]["rate"]
    finally:
        echod.terminate()
        echod.wait()


def sign_rate():
    return float(re.search(r"ecdsa \(nistp256\) +\S+ +\S+ +(\S+)", answer("openssl", "speed", "-seconds", "1", "ecdsap256"))[1])


def measure(folder, address):
    """Name to rate a second."""
    scratch = os.path.join(folder, "limits")
    os.makedirs(scratch, exist_ok=True)
    try:
        return {
            "4 KiB and fdatasync, 1 writer": round(fdatasync_rate(scratch, 1)),
            "the same, 16 writers": round(fdatasync_rate(scratch, 16)),
            "file of 4 KiB: create, fsync, rename, 16 writers": round(file_rate(scratch, 16)),
            "turn over loopback, 20 connections": round(loopback_rate(address, 20)),
            "ECDSA P-256 signature, one core": round(sign_rate()),
        }
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
