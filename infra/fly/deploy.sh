#!/usr/bin/env bash
# Deploy to Fly.io without cutting a call, however long it lasts; `fly deploy` alone gives each 280 seconds.
# New machines come first; the old ones take no more calls, end by themselves with their last one, and are destroyed.
#
#   infra/fly/deploy.sh [--dry-run] [--wait SECONDS] [flags of `fly deploy`, for the build]
#
# --dry-run  only say what would be done
# --wait     how long calls may go on, 7200 at the most, which is the default
set -euo pipefail
cd "$(dirname "$0")/../.."

fly=$(command -v flyctl || command -v fly) || { echo "flyctl is not installed: https://fly.io/docs/flyctl/install/" >&2; exit 2; }
app=${FLY_APP:-$(sed -n 's/^app *= *"\([^"]*\)".*/\1/p' fly.toml)}
poll=${POLL_SECONDS:-15} settle=${SETTLE_SECONDS:-10}
wait=7200 dry=
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=1; shift ;;
    --wait) wait=${2:?--wait wants seconds}; shift 2 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) break ;;
  esac
done
case $wait in '' | *[!0-9]*) echo "--wait wants whole seconds, not $wait" >&2; exit 2 ;; esac
[ "$wait" -le 7200 ] || { echo "--wait is 7200 at the most: the service takes no more" >&2; exit 2; }

say() { echo "deploy.sh: $*" >&2; }
run() {
  echo "+ ${fly##*/} $*" >&2
  [ -n "$dry" ] || "$fly" "$@" </dev/null >&2
}
# Id and state of the machines that `fly deploy` looks after.
machines() {
  "$fly" machine list --app "$app" --json | python3 -ESc '
import json, sys
for machine in json.load(sys.stdin):
    kept = (machine.get("config") or {}).get("metadata") or {}
    if kept.get("fly_platform_version") == "v2" and kept.get("fly_process_group", "app") == "app":
        print(machine["id"], machine["state"])
'
}
state_of() { machines | awk -v id="$1" '$1 == id { print $2 }'; }
ids() { awk '{ printf "%s ", $1 }'; }
# flyctl ends with 0 whatever the command on the machine does: its exit code is in the JSON.
drain() {
  echo "+ ${fly##*/} machine exec $1 'cuebox ctl drain --seconds $wait'" >&2
  [ -n "$dry" ] && return
  "$fly" machine exec "$1" "/opt/cuebox/bin/cuebox ctl drain --seconds $wait" --app "$app" --json --timeout 20 </dev/null |
    python3 -ESc 'import json, sys; sys.exit(json.load(sys.stdin).get("exit_code", 0))'
}

old=$(machines | ids)
if [ -z "$old" ]; then
  say "there are no machines yet: a plain deploy"
  run deploy --app "$app" "$@"
  exit
fi

label=deploy-$(date -u +%Y%m%d-%H%M%S)
run deploy --app "$app" --build-only --push --image-label "$label" "$@"

new='' is_live=
undo() {
  code=$?
  [ $code = 0 ] && return
  if [ -n "$is_live" ]; then
    say "stopped; the new machines take calls. Destroy the old ones when they have ended: $old"
    return
  fi
  say "it failed: the old machines stay, the new ones go"
  for id in $old; do run machine uncordon "$id" --app "$app" || true; done
  for id in $new; do run machine destroy "$id" --force --app "$app" || true; done
}
trap undo EXIT
trap 'exit 130' INT TERM

# A clone runs the old version for a moment, so it takes no calls before it has the new one.
for id in $old; do
  run machine clone "$id" --app "$app"
  for clone in $(machines | ids); do
    case " $old$new" in *" $clone "*) continue ;; esac
    new="$new$clone "
    run machine cordon "$clone" --app "$app"
  done
done
[ -n "$new" ] || [ -n "$dry" ] || { say "no new machine came"; exit 1; }
only=${new:-NEW} only=${only% } only=${only// /,}
run deploy --app "$app" --image "registry.fly.io/$app:$label" --only-machines "$only" --strategy rolling
for id in $new; do run machine uncordon "$id" --app "$app"; done
is_live=1

for id in $old; do run machine cordon "$id" --app "$app"; done
[ -n "$dry" ] || sleep "$settle" # the proxies hear of it
for id in $old; do
  [ "$(state_of "$id")" = started ] || continue
  drain "$id" && continue
  say "$id does not take the order (is its version older?): its calls get 300 seconds"
  run machine stop "$id" --signal SIGTERM --timeout 300 --app "$app"
done
[ -z "$dry" ] || { for id in $old; do run machine destroy "$id" --app "$app"; done; exit 0; }

until=$(($(date +%s) + wait + 60))
while [ -n "$old" ]; do
  left=''
  for id in $old; do
    state=$(state_of "$id")
    case $state in
      '' | destroyed | destroying) ;;
      stopped | suspended) run machine destroy "$id" --app "$app" ;;
      *) left="$left$id " ;;
    esac
  done
  old=$left
  if [ -n "$old" ] && [ "$(date +%s)" -ge "$until" ]; then
    say "still there after all that time: $old"
    for id in $old; do run machine destroy "$id" --force --app "$app"; done
    break
  fi
  [ -z "$old" ] || { say "calls go on at: $old"; sleep "$poll"; }
done
say "done"
