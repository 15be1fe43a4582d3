#!/bin/bash
# Builds the plugins of this directory to WebAssembly and puts each beside its source:
# plugins/NAME/NAME.wasm, and NAME.wasm.sources, a hash over what it was made from.
#
# usage: plugins/build.sh [--check]     --check compares with what is there and writes nothing
#
# The compiler is rustup's where its wasm32-unknown-unknown library is installed, else Debian's
# rustc-web with a standard library built once from rust-web-src.
set -euo pipefail
cd "$(dirname "$0")/.."
target=wasm32-unknown-unknown
plugins=(rr wrr lc wlc sed nq sh dh mh fo ovf twos rendezvous lblc lblcr slow-rr slow-wlc zone peak-ewma)

# Prints the standard library directory made for the given compiler, building it the first time.
sysroot_for() {
    local rustc=$1 sysroot
    sysroot=${WASM_SYSROOT:-$HOME/.cache/wasm-sysroot}/$("$rustc" -V | tr ' ()/' '____')
    if [ ! -d "$sysroot/lib/rustlib/$target/lib" ]; then
        echo "building the standard library for $target, once" >&2
        build_sysroot "$rustc" "$sysroot" >&2
    fi
    echo "$sysroot"
}

# An empty crate built with -Zbuild-std leaves the library's parts in its target directory.
build_sysroot() (
    rustc=$1 sysroot=$2
    library=$("$rustc" --print sysroot)/lib/rustlib/src/rust/library
    seed=$(mktemp -d)
    trap 'rm -rf "$seed"' EXIT
    mkdir -p "$seed/src" "$seed/.cargo"
    touch "$seed/src/lib.rs"
    printf '[package]\nname = "seed"\nedition = "2021"\n[workspace]\n[profile.release]\ndebug = 0\n' \
        > "$seed/Cargo.toml"
    # The library's own dependencies come with its source, so this needs no network.
    printf '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "%s/vendor"\n' \
        "$library" > "$seed/.cargo/config.toml"
    cd "$seed"
    unset CARGO_TARGET_DIR CARGO_BUILD_TARGET CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER
    RUSTC_BOOTSTRAP=1 RUSTC=$rustc \
        RUSTFLAGS="-Cembed-bitcode=yes -Zforce-unstable-if-unmarked" \
        /usr/bin/cargo build --quiet --offline --release -Z build-std=std,panic_abort --target $target
    parts=$sysroot.new/lib/rustlib/$target/lib
    rm -rf "$sysroot.new"
    mkdir -p "$parts"
    cp target/$target/release/deps/*.rlib "$parts/"
    rm -f "$parts"/libseed-*.rlib
    mv "$sysroot.new" "$sysroot"
)

linker() {
    command -v wasm-ld || ls /usr/bin/wasm-ld-* 2>/dev/null | head -n 1 | grep . ||
        echo "$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld"
}

# What a plugin is made from, in a fixed order. plugins-sdk/tests/built_plugins.rs does the same.
sources_hash() {
    find "plugins/$1/src" "plugins/$1/Cargo.toml" plugins-sdk/src \
        plugins-sdk/wit plugins/build.sh -type f | LC_ALL=C sort | xargs sha256sum | sha256sum |
        cut -d ' ' -f 1
}

flags="--remap-path-prefix=$PWD=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
# A shadow stack of 64 KiB instead of 1 MiB: schedulers do not recurse, and it is memory per service.
flags+=" -Clink-arg=-zstack-size=65536"

if [ ! -d "$(rustc --print target-libdir --target $target 2>/dev/null)" ]; then
    export RUSTC=${DEBIAN_RUSTC:-/usr/bin/rustc}
    if [ ! -f "$("$RUSTC" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/std/Cargo.toml" ]
    then
        echo "no standard library for $target; run either" >&2
        echo "  rustup target add $target" >&2
        echo "  apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld" >&2
        exit 1
    fi
    flags+=" --sysroot=$(sysroot_for "$RUSTC")"
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(linker)
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
fi
echo "building with $("${RUSTC:-rustc}" -V)"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS=$flags
export CARGO_TARGET_DIR=${PWD}/target/guests

changed=0
for plugin in "${plugins[@]}"; do
    # One at a time: together they would share the union of their features.
    cargo build --quiet --locked --profile plugin --target $target --package "wvs-plugin-$plugin"
    built=$CARGO_TARGET_DIR/$target/plugin/wvs_plugin_${plugin//-/_}.wasm
    kept=plugins/$plugin/$plugin.wasm
    printf '%-10s %6d bytes' "$plugin" "$(stat -c %s "$built")"
    cmp -s "$built" "$kept" && echo ", unchanged" || { echo ", changed"; changed=1; }
    if [ "${1:-}" != --check ]; then
        cp "$built" "$kept"
        sources_hash "$plugin" > "$kept.sources"
    fi
done
[ "${1:-}" != --check ] || exit $changed
