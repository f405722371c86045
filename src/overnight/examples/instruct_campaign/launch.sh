#!/bin/sh
# Begins the campaign and lets it go on alone. QUALITY_THRESHOLD, CAMPAIGN_TARGET and AUTO_LAUNCH may say otherwise:
#
#     CAMPAIGN_TARGET=2000 AUTO_LAUNCH=false ./launch.sh
set -eu
cd "$(dirname "$0")"
export QUALITY_THRESHOLD="${QUALITY_THRESHOLD:-0.75}"
export CAMPAIGN_TARGET="${CAMPAIGN_TARGET:-34500}"
export AUTO_LAUNCH="${AUTO_LAUNCH:-true}"
exec overnight campaign auto instruct --background
