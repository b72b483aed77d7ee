#!/bin/bash
# Makes OUT.tar, an image of this machine's Python as pods of jobs need it: dev.local/sluice-job:test. TOOLS is the folder
# with mkimage.py (SRC:DEST... into an image archive) and with-libs.sh (a program and the libraries that it loads).
#
#     tests/cluster/job-image.sh TOOLS OUT.tar && ctr -n k8s.io images import OUT.tar
set -euo pipefail
tools=$1 out=$2
python=$(readlink -f /usr/bin/python3)
library=/usr/lib/$(basename "$python")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -a "$library" "$work/library"
rm -rf "$work"/library/{test,idlelib,tkinter,lib2to3,config-*}
find "$work/library" -name __pycache__ -prune -exec rm -rf {} +
mapfile -t files < <("$tools/with-libs.sh" "$python" "$library"/lib-dynload/*.so | grep -v lib-dynload)
python3 "$tools/mkimage.py" "$out" dev.local/sluice-job:test "${files[@]}" "$python:/usr/bin/python3" "$work/library:$library"
