"""Take over what a run measured: pictures, thresholds and records, on request and with a reason."""
