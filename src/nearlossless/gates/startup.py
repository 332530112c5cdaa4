"""Does it start in time, cold and warm?"""

from nearlossless.thresholds import Thresholds
from nearlossless.verdicts import Verdict, at_most, verdict
from nearlossless.worker import ProcessRun


def judge_startup(cold: ProcessRun, warm: ProcessRun, thresholds: Thresholds) -> Verdict:
    """Is a cold start bearable, and does a primed cache help?"""
    cold_start_s = cold.load_s + cold.first_call_s if cold.load_s > 0 and cold.first_call_s > 0 else None
    ratio = warm.first_call_s / cold.first_call_s if warm.first_call_s > 0 and cold.first_call_s > 0 else None
    return verdict(
        "startup",
        [
            at_most("cold start", cold_start_s, thresholds.max_cold_start_s, unit="s", note="load and first call"),
            at_most(
                "warm / cold first call",
                ratio,
                thresholds.max_warm_start_ratio,
                note=f"warm {warm.first_call_s:.2f} s, cold {cold.first_call_s:.2f} s",
            ),
        ],
    )
