#!/bin/sh
# Checks the models of the coherence protocol, each configuration to its end.
#
#   docs/model/check.sh            all configurations, some two minutes
#   docs/model/check.sh --short    the quickest of each model
#   docs/model/check.sh NAME       one, and for a counterexample the steps that lead to it
#
# A line says what is expected: "holds" (no assertion fails in any reachable state) or "breaks" (a rule is left out, and a
# counterexample must be found). The exit code is 1 when one comes out otherwise. Needs spin, cpp, a C compiler and awk.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${TMPDIR:-/tmp}/wattle-model-$$
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT INT TERM

faults='-DNW=1 -DNO=1 -DNOR0 -DDROP -DLEXP'
rules='-DSTAMP -DSRVREAD -DMINREPL -DHBWRITE -DREPLYEPOCH -DRDREPL'
one='-DNW=1 -DNF=1 -DDROP -DNOR0'

# expectation | short or long | name | model | flags
configurations() {
  cat <<END
holds  | short | key                                  | key  | -DNW=2 -DNO=1 -DNOR0 -DDROP -DLEXP
breaks | short | key, without deleting the lease      | key  | -DNW=2 -DNO=1 -DNOR0 -DDROP -DLEXP -DWITHOUT_LEASE_DELETE
breaks | long  | key, without the lease at the fill   | key  | -DNW=2 -DNO=1 -DNOR0 -DDROP -DLEXP -DWITHOUT_LEASE_CHECK
breaks | short | key, without the fence of L1         | key  | -DNW=2 -DNO=1 -DNOR0 -DDROP -DLEXP -DWITHOUT_L1_FENCE
breaks | short | key, without noticing gaps           | key  | -DNW=2 -DNO=1 -DNOR0 -DDROP -DLEXP -DWITHOUT_GAP
breaks | short | key, writer dies, no outbox          | key  | -DNW=1 -DNOR0 -DDROP -DCRASH
holds  | short | key, writer dies                     | key  | -DNW=1 -DNOR0 -DDROP -DCRASH -DRELAY
holds  | long  | key, failover                        | key  | $faults -DNF=1 $rules
breaks | short | key, failover, without epochs of entries    | key | $faults -DNF=1 ${rules#-DSTAMP }
breaks | long  | key, failover, without the epoch at the fill | key | $faults -DNF=1 $rules -DWITHOUT_EPOCH_AT_FILL
breaks | long  | key, failover, numbers instead of epochs    | key | $faults -DNF=1 $rules -DWITHOUT_EPOCH_COMPARISON
holds  | long  | key, failover, writer dies           | key  | -DNF=1 -DNW=1 -DNOR0 -DCRASH -DRELAY -DSTAMP -DSRVREAD -DREPLYEPOCH
holds  | long  | key, two masters                     | key  | $faults -DNF=1 -DSPLIT $rules
breaks | long  | key, two masters, any may take writes       | key | $faults -DNF=1 -DSPLIT -DSTAMP -DSRVREAD -DHBWRITE -DREPLYEPOCH -DRDREPL
breaks | long  | key, two masters, any proves trust          | key | $faults -DNF=1 -DSPLIT -DSTAMP -DSRVREAD -DMINREPL -DREPLYEPOCH -DRDREPL
breaks | long  | key, two masters, any may be read           | key | $faults -DNF=1 -DSPLIT -DSTAMP -DSRVREAD -DMINREPL -DHBWRITE -DREPLYEPOCH
holds  | short | tags                                 | tags | -DNWT=1 -DFENCETAB
holds  | long  | tags of a value, asked for afterwards | tags | -DNWT=1 -DFENCETAB -DTWOTRIPS
breaks | long  | tags, the sequence read after the load | tags | -DNWT=1 -DFENCETAB -DSEQAFTER
breaks | long  | tags, judged by what is known here    | tags | -DNWT=1 -DFENCETAB -DLOCALTAB
breaks | short | tags, without the fence of L1         | tags | -DNWT=1
holds  | long  | tags, failover, strict               | tags-failover | $one -DSTRICT
holds  | long  | tags, failover, ordinary             | tags-failover | $one
breaks | short | tags, failover, nothing announced again | tags-failover | $one -DWITHOUT_REISSUE
breaks | short | tags, failover, trusted before that  | tags-failover | -DNW=1 -DNF=1 -DDROP -DREISSUE_AFTER_TRUST
breaks | long  | tags, failover, L1 kept              | tags-failover | $one -DSTRICT -DWITHOUT_L1_DROP
holds  | long  | tags, emptied                        | tags-failover | -DNW=2 -DFLUSH -DDROP -DNOR0
breaks | short | tags, emptied, numbers from zero     | tags-failover | -DNW=2 -DFLUSH -DDROP -DNOR0 -DWITHOUT_TIME_START
END
}

# Guards that the preprocessor left on lines of their own belong to the line before.
join_guards() {
  awk '{ line = $0; sub(/[ \t]+$/, "", line); text = line; sub(/^[ \t]+/, "", text) }
    text == "" { next }
    held != "" && (text ~ /^(&&|\|\||->)/ || held ~ /(&&|\|\|)$/) { held = held " " text; next }
    { if (held != "") print held; held = line }
    END { print held }'
}

run() { # expectation, name, model, flags
  # Steps of the default search, or of a breadth-first one: then the counterexample is a shortest one.
  mode=${5:-}
  rm -rf "$work"/*
  # shellcheck disable=SC2086
  cpp -P -undef $4 "$here/$3.pml" | join_guards >"$work/model.pml"
  (cd "$work" && spin -a model.pml >spin.txt 2>&1) || { cat "$work/spin.txt"; exit 2; }
  # shellcheck disable=SC2086
  cc -O2 -w -DSAFETY -DVECTORSZ=2048 -DCOLLAPSE -DMEMLIM=6000 $mode -o "$work/pan" "$work/pan.c"
  (cd "$work" && ./pan -m2000000 -c1 -n >pan.txt 2>&1) || true
  states=$(awk '/states, stored/ { print $1; exit }' "$work/pan.txt")
  if grep -q 'errors: 0' "$work/pan.txt" && ! grep -q 'Search not completed' "$work/pan.txt"; then
    outcome=holds
  elif grep -q 'assertion violated' "$work/pan.txt"; then
    outcome=breaks
  else
    outcome=unknown
  fi
  verdict=ok
  if [ "$outcome" != "$1" ]; then
    verdict="EXPECTED $1"
    failed=1
  fi
  printf '%-7s %-56s %10s states  %s\n' "$outcome" "$2" "${states:-0}" "$verdict"
}

trim() { printf '%s' "$1" | sed 's/^ *//; s/ *$//'; }

failed=0
found=0
configurations >"$work.list"
while IFS='|' read -r expected length name model flags; do
  expected=$(trim "$expected") length=$(trim "$length") name=$(trim "$name") model=$(trim "$model")
  case ${1:-} in
    '') run "$expected" "$name" "$model" "$flags" ;;
    --short) [ "$length" = long ] || run "$expected" "$name" "$model" "$flags" ;;
    "$name")
      found=1
      run "$expected" "$name" "$model" "$flags" -DBFS
      [ ! -f "$work/model.pml.trail" ] ||
        (cd "$work" && spin -t -p -k model.pml.trail model.pml | grep -E '^ +[0-9]+:.*\[' |
          grep -vE '\[(else|\(1\))\]|\(goto\)|run |= 0\]' | sed -E 's/model.pml:[0-9]+ //; s/\(state [0-9]+\)//; s/proc +[0-9]+ //')
      ;;
  esac
done <"$work.list"
rm -f "$work.list"
case ${1:-} in
  '' | --short) ;;
  *) [ $found = 1 ] || { echo "There is no configuration \"$1\"." >&2; exit 2; } ;;
esac
exit $failed
