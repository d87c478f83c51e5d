#!/bin/sh
# What `cmake --install` puts where, and that the programs find each other there and nowhere else.
set -eu
script=$GPCSUP_BUILD/cmake_install.cmake
if ! grep -q "$GPCSUP_BUILD" "$script"; then
    echo "a copy of a build tree cannot be installed"
    exit 77
fi
place=$(mktemp -d /tmp/gi-XXXXXX)
init=
finish() {
    if [ -n "$init" ]; then
        kill -TERM "$init" 2>/dev/null || true
        wait "$init" || true
    fi
    rm -rf "$place"
}
trap finish EXIT
fail() {
    echo "$*"
    [ -f "$place/out" ] && cat "$place/out"
    exit 1
}

DESTDIR=$place/root cmake --install "$GPCSUP_BUILD" --prefix /usr >/dev/null
for file in usr/bin/gpcsup usr/sbin/gpc-init usr/libexec/gpcsup/gpcsupd usr/libexec/gpcsup/gpc-enforce usr/libexec/gpcsup/gpc-logd \
    usr/libexec/gpcsup/gpc-exec usr/libexec/gpcsup/gpc-names usr/libexec/gpcsup/gpc-reader \
    usr/libexec/gpcsup/gpc-graft; do
    [ -x "$place/root/$file" ] || fail "missing: $file"
done
for file in etc/gpcsup/gpcsup.toml usr/lib/gpcsup/units/console.toml usr/share/man/man1/gpcsup.1 usr/share/man/man8/gpc-init.8 \
    usr/share/man/man5/gpcsup-unit.5 usr/share/bash-completion/completions/gpcsup usr/share/doc/gpcsup/README.md; do
    [ -f "$place/root/$file" ] || fail "missing: $file"
done
[ "$(ls "$place/root/usr/bin" "$place/root/usr/sbin" | grep -c '^gp')" = 2 ] || fail "more than gpcsup and gpc-init is on PATH"

# An administrator's file is kept.
echo '# mine' >"$place/root/etc/gpcsup/gpcsup.toml"
DESTDIR=$place/root cmake --install "$GPCSUP_BUILD" --prefix /usr >/dev/null
grep -q mine "$place/root/etc/gpcsup/gpcsup.toml" || fail "the configuration was overwritten"

# From a prefix of its own, moved after it was installed.
cmake --install "$GPCSUP_BUILD" --prefix "$place/first" >/dev/null
mv "$place/first" "$place/second"
mkdir -m 700 "$place/units" "$place/run" "$place/logs"
printf '[service]\ncommand = ["sleep", "1000"]\n' >"$place/units/nap.toml"
GPCSUP_LOGS=$place/logs "$place/second/sbin/gpc-init" --config "$place/second/etc/gpcsup/gpcsup.toml" --units "$place/units" \
    --runtime "$place/run" >"$place/out" 2>&1 </dev/null &
init=$!
gpcsup() {
    "$place/second/bin/gpcsup" --runtime "$place/run" "$@"
}
tries=0
until gpcsup start --timeout 20s nap >>"$place/out" 2>&1; do
    kill -0 "$init" || fail "gpc-init has ended"
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || fail "gpcsup did not come up"
    sleep 0.1
done
gpcsup is-active nap >/dev/null || fail "the unit is not active"
for helper in $(cat /proc/"$init"/task/"$init"/children); do
    program=$(readlink /proc/"$helper"/exe 2>/dev/null) || continue
    case $program in
        "$place"/second/libexec/gpcsup/* | */sleep) ;;
        *) fail "started from elsewhere: $program" ;;
    esac
done
gpcsup exit || fail "exit was refused"
wait "$init" || fail "gpc-init ended with $?"
init=
