#!/usr/bin/env bash
# Feeds the parsers with libFuzzer: fuzz.sh SECONDS [TARGET…]. What is new goes into target/fuzz/corpus, a finding into
# target/fuzz/findings; `fuzz.sh keep` puts a small set of inputs with the same coverage into syncer/fuzz/corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(resp rdb sentinel spool)

out=$(realpath -m "${CARGO_TARGET_DIR:-target}/fuzz")
host=$(rustc -vV | sed -n 's/^host: //p')
# What `cargo fuzz` would pass without a sanitizer: the code has no unsafe block, and so a stable compiler will do.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
CARGO_TARGET_DIR=$out cargo build --quiet --release --bins --target "$host" --manifest-path syncer/fuzz/Cargo.toml

# The longest input: a corpus is kept in the repository, and an RDB of some types is not short.
length() {
    case $1 in rdb) echo 2048 ;; spool) echo 256 ;; *) echo 512 ;; esac
}

# Many small inputs as one file, and back: pack DIR FILE, unpack FILE DIR. See syncer/fuzz/src/pack.rs.
pack() {
    python3 -c '
import pathlib, struct, sys
inputs = sorted({path.read_bytes() for path in pathlib.Path(sys.argv[1]).iterdir()}, key=lambda one: (len(one), one))
pathlib.Path(sys.argv[2]).write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in inputs))' "$@"
}
unpack() {
    python3 -c '
import pathlib, struct, sys
file, at = pathlib.Path(sys.argv[1]).read_bytes(), 0
while at < len(file):
    (length,) = struct.unpack_from("<I", file, at)
    pathlib.Path(sys.argv[2], f"kept-{at}").write_bytes(file[at + 4 : at + 4 + length])
    at += 4 + length' "$@"
}

for target in "${targets[@]}"; do
    programs=$out/$host/release kept=syncer/fuzz/corpus/$target new=$out/corpus/$target findings=$out/findings/$target
    mkdir -p "$new" "$findings"
    unpack "$kept" "$new"
    if [ "$seconds" = keep ]; then
        smallest=$(mktemp -d)
        "$programs/$target" -merge=1 -max_len="$(length "$target")" "$smallest" "$new" 2> "$out/$target.log"
        pack "$smallest" "$kept"
        echo "$target: $(find "$smallest" -type f | wc -l) inputs kept"
        rm -rf "$smallest"
    else
        echo "== $target: $seconds s"
        "$programs/$target" "$new" -max_total_time="$seconds" -max_len="$(length "$target")" -timeout=20 -rss_limit_mb=2048 \
            -artifact_prefix="$findings/" -print_final_stats=1 2> "$out/$target.log" \
            || { tail -40 "$out/$target.log" >&2; exit 1; }
        grep -E 'stat::(number_of_executed|peak_rss)' "$out/$target.log"
    fi
done
