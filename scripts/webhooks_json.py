"""Checks the JSON object that `webhooks --json` prints: its fields, and that they add up. Usage: webhooks_json.py FILE"""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    report = json.load(file)

counts = ["sent", "delivered", "retried", "retransmitted"]
expected = set(counts) | {"dead", "throughput", "latency_ms", "failure_rate"}
assert expected <= set(report), f"missing: {sorted(expected - set(report))}"
assert all(isinstance(report[count], int) for count in counts), "counts are whole numbers"
assert report["sent"] >= 2000, f"only {report['sent']} events"
assert report["sent"] == report["delivered"] + len(report["dead"]), "an event is neither delivered nor dead"
assert len({letter["line"] for letter in report["dead"]}) == len(report["dead"]), "a line is dead twice"
assert all(letter["reason"] and letter["attempts"] >= 1 for letter in report["dead"]), "a dead event without its reason"
assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"], "latency percentiles"
assert 0 <= report["failure_rate"] <= 1, "failure rate"
print("webhooks --json:", {count: report[count] for count in counts}, "dead:", len(report["dead"]))
