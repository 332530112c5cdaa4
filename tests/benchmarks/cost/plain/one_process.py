"""One pipeline in a process of its own; prints seconds of its first call and its peak memory."""

import json
import resource
import sys
import time

import pipelines

pipeline = getattr(pipelines, sys.argv[1])()
start = time.perf_counter()
pipelines.draw(pipeline)
first_call_s = time.perf_counter() - start
for _ in range(2):
    pipelines.draw(pipeline)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sys.stdout.write(json.dumps({"first_call_s": first_call_s, "peak": peak}) + "\n")
