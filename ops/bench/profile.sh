#!/usr/bin/env bash
# Where the gateway's microseconds go: runs a case of the benchmark several times, each time watched in another way, and
# prints per message and thread: CPU, context switches, octets, system calls, allocations; then the hottest symbols.
# Folded stacks (for flamegraph.pl or inferno) lie in the directory named at the end. ops/bench/README.md says more.
#
#   ops/bench/profile.sh [--case single]... [--messages 400000] [--watch counts|syscalls|allocations|stacks|instructions|caches|timeline]...
#
# Programs are taken from BIN (default: built into target/profile with names of lines and with frame pointers, which
# stacks need). Needs perf and root; what is missing is said, and `instructions` and `caches` (callgrind) do without.
set -euo pipefail
cd "$(dirname "$0")/../.."
SELF=$PWD/ops/bench/profile.sh

TRACING=/sys/kernel/tracing
TIMELINE="sched/sched_switch syscalls/sys_enter_recvfrom syscalls/sys_enter_sendto syscalls/sys_enter_futex syscalls/sys_enter_pwrite64
  syscalls/sys_enter_fdatasync syscalls/sys_exit_fdatasync"
CALLS="accept4 bind brk clock_nanosleep close connect epoll_ctl epoll_pwait epoll_wait exit_group fallocate fdatasync fsync
  fstat ftruncate futex getrandom getsockopt ioctl lseek madvise mmap mprotect munmap nanosleep newfstatat openat ppoll pread64
  pwrite64 pwritev pwritev2 read readv recvfrom recvmsg rename sched_yield sendmsg sendto setsockopt statx sync_file_range
  unlink write writev io_uring_enter"

# One line per thread of process $1: comm, ns on a core, voluntary and forced switches, calls that read and write, octets
# read and written, page faults.
threads() {
  local task
  for task in /proc/"$1"/task/*; do
    [ -r "$task/schedstat" ] || continue
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$(tr ' \t' '__' <"$task/comm")" "$(cut -d' ' -f1 "$task/schedstat")" \
      "$(awk '/^voluntary/ {print $2}' "$task/status")" "$(awk '/^nonvoluntary/ {print $2}' "$task/status")" \
      "$(awk '/^(rchar|wchar|syscr|syscw):/ {printf "%s%s", s, $2; s="\t"}' "$task/io" 2>/dev/null || printf '0\t0\t0\t0')" \
      "$(sed 's/.*) //' "$task/stat" | cut -d' ' -f8)"
  done
}

# What threads did between two such lists, per message.
per_message() { # before after messages
  awk -F'\t' -v n="$3" '
    { sign = FNR == NR ? -1 : 1; for (i = 2; i <= NF; i++) sum[$1, i] += sign * $i; if (!($1 in seen)) { seen[$1]; order[++k] = $1 } }
    END {
      printf "%-18s %9s %12s %10s %9s %9s %11s %11s %8s\n", "thread", "CPU us", "sleeps", "preempted", "reads", "writes", "octets in", "octets out", "faults"
      for (j = 1; j <= k; j++) { t = order[j]
        if (sum[t, 2] / 1e3 / n < 0.0005 && sum[t, 3] / n < 0.00005) continue
        printf "%-18s %9.3f %12.5f %10.5f %9.4f %9.4f %11.1f %11.1f %8.4f\n", t, sum[t, 2] / 1e3 / n, sum[t, 3] / n, sum[t, 4] / n,
          sum[t, 7] / n, sum[t, 8] / n, sum[t, 5] / n, sum[t, 6] / n, sum[t, 9] / n
        for (i = 2; i <= 9; i++) all[i] += sum[t, i] }
      printf "%-18s %9.3f %12.5f %10.5f %9.4f %9.4f %11.1f %11.1f %8.4f\n", "all", all[2] / 1e3 / n, all[3] / n, all[4] / n,
        all[7] / n, all[8] / n, all[5] / n, all[6] / n, all[9] / n
    }' "$1" "$2"
}

# Counters of perf stat --per-thread -x, ($1) per message and thread; zeros are left out.
counters() { # file messages
  awk -F, -v n="$2" '
    NF > 3 && $2 + 0 > 0 {
      t = $1; sub(/-[0-9]+$/, "", t); gsub(/^ +/, "", t); e = $4; sub(/^.*sys_enter_/, "", e); sub(/^.*probe_[a-z]*:/, "", e)
      sum[e, t] += $2; all[e] += $2; threads[t] }
    END { for (e in all) { line = sprintf("%-26s %11.5f  ", e, all[e] / n)
        for (t in threads) if (sum[e, t] / n >= 0.00001) line = line sprintf(" %s %.5f", t, sum[e, t] / n)
        print line } }' "$1" | sort -k2,2 -gr
}

# What awk needs to read callgrind's names: each is written out once and numbered.
NAMES='function name(s,   id) { id = s; sub(/\).*/, ")", id); if (length(s) > length(id)) names[id] = substr(s, length(id) + 2); return names[id] }'

# Calls of the functions that copy, compare, fill and allocate in a callgrind file ($1), per message, and who copies most.
calls() { # file messages
  awk -v n="$2" "$NAMES"'
    /^fn=/ { fn = name(substr($0, 4)) }
    /^cfn=/ { callee = name(substr($0, 5)) }
    /^calls=/ {
      kind = callee ~ /memmove|memcpy/ ? "copies" : callee ~ /memcmp/ ? "comparisons" : callee ~ /memset/ ? "fillings" : \
        callee ~ /^mi_(m|z)alloc_aligned/ ? "allocations" : callee ~ /^mi_realloc_aligned/ ? "reallocations" : ""
      if (kind == "") next
      split(substr($1, 7), count, " "); sum[kind] += count[1]; if (kind == "copies") by[fn] += count[1] }
    END {
      for (kind in sum) printf "0 %-14s %9.2f\n", kind, sum[kind] / n
      for (fn in by) if (by[fn] / n >= 0.5) printf "1 %9.2f copies by %s\n", by[fn] / n, fn }' "$1" | sort -k1,1n -k2,2gr | cut -c3- | sed -n '1,40p'
}

# What a message costs by callgrind's model of caches and branches (file $1), in all and by function: instructions, misses of
# the first level's data and code, data misses of the second level (512 KiB), branches that are guessed wrong, and cycles by
# rough prices of these: three instructions a cycle; 12, 10, 50 and 16 cycles. Writes wait for nobody: theirs count in part.
costs() { # file messages
  printf '%8s %8s %8s %8s %8s %8s\n' instr L1d L1i L2 wrong cycles
  awk -v n="$2" "$NAMES"'
    function row(f,   l1, l1w, code, l2r, l2w, wrong, cycles) {
      l1 = of[f, "D1mr"]; l1w = of[f, "D1mw"]; code = of[f, "I1mr"]; l2r = of[f, "DLmr"]; l2w = of[f, "DLmw"]; wrong = of[f, "Bcm"] + of[f, "Bim"]
      cycles = of[f, "Ir"] / 3 + 12 * (l1 + l1w / 3) + 10 * code + 50 * (l2r + l2w / 2) + 16 * wrong
      return sprintf("%8.0f %8.1f %8.1f %8.1f %8.1f %8.0f  %s", of[f, "Ir"] / n, (l1 + l1w) / n, code / n, (l2r + l2w) / n, wrong / n, cycles / n, f) }
    /^events:/ { for (i = 2; i <= NF; i++) event[i] = $i }
    /^fn=/ { fn = name(substr($0, 4)); seen[fn] }
    /^cfn=/ { name(substr($0, 5)) }
    /^calls=/ { called = 1; next }
    /^[0-9+*-]/ { if (called) { called = 0; next }
      for (i = 2; i <= NF; i++) { of[fn, event[i]] += $i; of["all", event[i]] += $i } }
    END { print row("all"); for (f in seen) print row(f) }' "$1" | sort -k6,6gr | sed -n '1,60p'
}

# One message's way through the kernel's eyes, from a trace of the case `light`, where messages do not meet: the median and
# the 99th percentile of microseconds from the client's write to each step. The gateway is `qiao`, the rest the benchmark's.
steps() { # trace
  awk '
    function us(t) { return (t - began) * 1e6 }
    function step(n, what) { if (next_step == n) { printf "%d\t%.1f\t%s\n", n, us(time), what; next_step++ } }
    $0 !~ /^#/ && match($0, /-[0-9]+ +\[/) {
      who = substr($0, 1, RSTART - 1); gsub(/^ +/, "", who); pid = substr($0, RSTART + 1, RLENGTH - 2) + 0
      rest = substr($0, RSTART + RLENGTH); match(rest, /[0-9]+\.[0-9]+: /); time = substr(rest, RSTART, RLENGTH) + 0
      call = substr(rest, RSTART + RLENGTH); long = call ~ /len: 0x[0-9a-f][0-9a-f][0-9a-f]/
      if (who ~ /qiao-sim/ && call ~ /^sys_sendto\(/ && long) { began = time; client = pid; next_step = 1 }
      else if (who == "qiao" && call ~ /^sys_recvfrom\(/) step(1, "the gateway reads the post")
      else if (who == "qiao" && call ~ /^sys_futex\(/) step(2, "accepted: the commit thread is woken")
      else if (who == "journal-commit" && call ~ /^sys_pwrite64\(/) step(3, "the commit thread writes")
      else if (who == "journal-commit" && call ~ /^sys_fdatasync\(/) step(4, "it syncs")
      else if (who == "journal-commit" && call ~ /^sys_fdatasync ->/) step(5, "synced: the line is woken")
      else if (who == "qiao" && call ~ /^sys_pwrite64\(/) step(6, "the line writes the attempt down")
      else if (who == "qiao" && call ~ /^sys_sendto\(/) step(7, "the link sends")
      else if (who ~ /qiao-sim/ && pid != client && call ~ /^sys_recvfrom\(/) step(8, "the carrier reads")
    }' "$1" | sort -t "$(printf '\t')" -k1,1n -k2,2n | awk -F'\t' '
    function tell() { if (n) printf "%-40s %8.0f %8.0f\n", what, at[int((n + 1) / 2)], at[int(n * 0.99) ? int(n * 0.99) : 1] }
    BEGIN { printf "%-40s %8s %8s\n", "us after the client began to write", "p50", "p99" }
    $1 != now { tell(); n = 0; now = $1 }
    { at[++n] = $2; what = $3 }
    END { tell() }'
}

# Runs perf beside the load until told to stop.
beside() {
  "$@" &
  local perf=$!
  trap 'kill -INT $perf 2>/dev/null || true' INT TERM
  sleep 1.5
  kill -0 $perf && echo ready
  wait $perf || wait $perf || true
}

# The bench starts this once the warm-up is over, and interrupts it when the last measured message is finished.
watch() {
  set -m # or background jobs ignore SIGINT
  case $WATCH in
    counts)
      threads "$QIAO_PID" >"$OUT/threads.before"
      trap 'threads "$QIAO_PID" >"$OUT/threads.after"; exit 0' INT TERM
      echo ready
      while :; do sleep 5 & wait $! || true; done
      ;;
    syscalls)
      local events
      events=$(for call in $CALLS; do [ -e "/sys/kernel/tracing/events/syscalls/sys_enter_$call" ] && printf ',syscalls:sys_enter_%s' "$call"; done)
      beside perf stat --per-thread -x, -o "$OUT/syscalls.csv" -e "raw_syscalls:sys_enter,sched:sched_waking$events" -p "$QIAO_PID"
      ;;
    allocations)
      local probes
      probes=$(perf probe -l 'probe_qiao:*' 2>/dev/null | awk '{printf "%s%s", s, $1; s=","}')
      beside perf stat --per-thread -x, -o "$OUT/allocations.csv" -e "$probes" -p "$QIAO_PID"
      ;;
    timeline)
      for event in $TIMELINE; do echo 1 >"$TRACING/events/$event/enable"; done
      echo 65536 >"$TRACING/buffer_size_kb"; echo mono >"$TRACING/trace_clock"; echo >"$TRACING/trace"
      trap 'echo 0 >"$TRACING/tracing_on"; cat "$TRACING/trace" >"$OUT/trace.txt"; exit 0' INT TERM
      echo 1 >"$TRACING/tracing_on"
      echo ready
      while :; do sleep 5 & wait $! || true; done
      ;;
    stacks) beside perf record -q -e cpu-clock -F 1999 -g -o "$OUT/perf.data" -p "$QIAO_PID" ;;
  esac
}

if [ "${1:-}" = watch ]; then
  watch
  exit 0
fi

CARGO=${CARGO:-cargo}
ROOT=target/bench/profile
PROBED="mi_malloc_aligned mi_zalloc_aligned mi_realloc_aligned mi_free"
CASES=() KINDS=() MESSAGES=
while [ $# -gt 0 ]; do
  case $1 in
    --case) CASES+=("$2") ;;
    --watch) KINDS+=("$2") ;;
    --messages) MESSAGES=$2 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$SELF" | sed '$d'; exit 2 ;;
  esac
  shift 2
done
[ ${#CASES[@]} -gt 0 ] || CASES=(single batch slow-carrier)
[ ${#KINDS[@]} -gt 0 ] || KINDS=(counts syscalls allocations stacks)

if [ -z "${BIN:-}" ]; then
  CARGO_TARGET_DIR=target/profile CARGO_PROFILE_RELEASE_DEBUG=line-tables-only RUSTFLAGS="-C force-frame-pointers=yes" \
    "$CARGO" build --release --locked --bin qiao --bin qiao-sim --bin bench --bin alone
  BIN=target/profile/release
fi
BIN=$(cd "$BIN" && pwd)

skipped() { echo "!! SKIPPED: $1" >&2; }

# Whether a way of watching can be had here.
possible() {
  case $1 in
    counts) return 0 ;;
    timeline)
      [ "$(id -u)" = 0 ] || { skipped "timeline: tracepoints need root"; return 1; }
      [ -e "$TRACING/events/syscalls/sys_enter_sendto" ] || { skipped "timeline: $TRACING is not there"; return 1; }
      ;;
    instructions | caches) command -v valgrind >/dev/null || { skipped "$1: valgrind is missing (Debian: valgrind)"; return 1; } ;;
    *)
      command -v perf >/dev/null || { skipped "$1: perf is missing (Debian: linux-perf)"; return 1; }
      [ "$1" = stacks ] && return 0
      [ "$(id -u)" = 0 ] || { skipped "$1: tracepoints and uprobes need root"; return 1; }
      perf list 'raw_syscalls:*' 2>/dev/null | grep -q sys_enter || { skipped "$1: this kernel has no tracepoints"; return 1; }
      ;;
  esac
}

probes() {
  case $1 in
    add) for name in $PROBED; do perf probe -q -x "$BIN/qiao" --add "$name" 2>/dev/null || true; done ;;
    del) perf probe -q -d 'probe_qiao:mi_*' 2>/dev/null || true ;;
  esac
}

# A stack per line, outermost frame first, and how often it was seen.
fold() {
  awk '
    /^[^ \t]/ { comm = $1; n = 0; next }
    NF == 0 { if (n > 0) { line = comm; for (i = n; i >= 1; i--) line = line ";" frame[i]; seen[line]++ } n = 0; next }
    { $1 = ""; sub(/ \([^()]*\)$/, ""); sub(/\+0x[0-9a-f]+$/, ""); gsub(/;/, ":"); sub(/^ +/, ""); frame[++n] = $0 }
    END { for (line in seen) print line, seen[line] }'
}

# Runs case $1 once with so many messages, watched as $2 says.
run() { # case kind messages
  OUT=$PWD/$ROOT/$1
  mkdir -p "$OUT"
  local bin=$BIN watch=(--watch "$SELF watch") model=""
  [ "$2" = caches ] && model="--cache-sim=yes --branch-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=524288,8,64"
  if [ "$2" = instructions ] || [ "$2" = caches ]; then
    # The benchmark starts the program that lies beside it: here one that runs under callgrind.
    bin=$OUT/bin watch=()
    mkdir -p "$bin"
    for name in bench qiao-sim alone; do ln -f "$BIN/$name" "$bin/$name" 2>/dev/null || cp "$BIN/$name" "$bin/$name"; done
    rm -f "$bin/qiao"
    printf '#!/bin/sh\nexec valgrind -q --tool=callgrind %s --callgrind-out-file=%s/%s.out %s/qiao "$@"\n' "$model" "$OUT" "$2" "$BIN" >"$bin/qiao"
    chmod +x "$bin/qiao"
  fi
  WATCH=$2 OUT=$OUT "$bin/bench" --case "$1" --protocol smpp --runs 1 --no-kannel --messages "$3" --out "$OUT/run" --keep "${watch[@]}" \
    >"$OUT/$2.txt" 2>"$OUT/$2.err" || { cat "$OUT/$2.err" >&2; return 3; }
  grep -v '^[ {]\|^$\|^written' "$OUT/$2.txt" || true
}

for case in "${CASES[@]}"; do
  for kind in "${KINDS[@]}"; do
    possible "$kind" || continue
    messages=${MESSAGES:-$(case $case in batch*) echo 400000 ;; slow*) echo 30000 ;; light) echo 1000 ;; *) echo 150000 ;; esac)}
    # Each allocation is a trap then, each instruction fifty.
    case $kind in allocations | instructions | caches) messages=$(((messages + 9) / 10)) ;; esac
    echo; echo "== $case, $kind, $messages messages"
    if [ "$kind" = allocations ]; then probes add; trap 'probes del' EXIT; fi
    run "$case" "$kind" "$messages"
    case $kind in
      counts) per_message "$OUT/threads.before" "$OUT/threads.after" "$messages" ;;
      syscalls) counters "$OUT/syscalls.csv" "$messages" ;;
      timeline)
        for event in $TIMELINE; do echo 0 >"$TRACING/events/$event/enable"; done
        steps "$OUT/trace.txt"
        ;;
      allocations) counters "$OUT/allocations.csv" "$messages"; probes del ;;
      instructions | caches)
        # All the process ever did: the warm-up's messages, too.
        all=$((messages + $(wc -l <"$OUT/run/data/$case/warm.jsonl")))
        [ "$kind" = caches ] && { costs "$OUT/caches.out" "$all"; continue; }
        awk -v n="$all" '/^(summary|totals):/ {printf "%.0f instructions per message of %d, the start included\n", $2 / n, n; exit}' "$OUT/instructions.out"
        calls "$OUT/instructions.out" "$all"
        callgrind_annotate "$OUT/instructions.out" 2>/dev/null | grep -v '^-' | sed -n '1,60p'
        ;;
      stacks)
        report() { perf report -i "$OUT/perf.data" --stdio --no-inline --no-children -g none "$@" 2>/dev/null | grep -v '^#' | grep . || true; }
        report --sort comm
        for thread in $(report --sort comm | awk '$1 + 0 >= 1 {print $2}'); do
          echo "-- $thread"; report --comm "$thread" --sort sym | head -25
        done
        perf script -i "$OUT/perf.data" --no-inline 2>/dev/null | fold >"$OUT/stacks.folded"
        ;;
    esac
  done
done
rm -rf "$ROOT"/*/run "$ROOT"/*/bin
echo; echo "written to $ROOT: */perf.data, */stacks.folded, and what each watcher saw"
