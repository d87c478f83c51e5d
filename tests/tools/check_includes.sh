#!/bin/sh
# tools/check-includes must turn red for each kind of fault. A small tree of our own stands for src/.
set -eu
check=$GPCSUP_SOURCE/tools/check-includes
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

plant() {  # PATH, then the text of the file
    mkdir -p "$tree/src/$(dirname "$1")"
    printf '%s\n' "$2" >"$tree/src/$1"
}
expect_green() {
    "$check" "$tree" || { echo "red without a fault ($1)"; exit 1; }
}
expect_red() {  # what is wrong, a word of the report
    if report=$("$check" "$tree"); then
        echo "not noticed: $1"
        exit 1
    fi
    case $report in *"$2"*) ;; *) echo "$1: the report does not say '$2': $report"; exit 1 ;; esac
}

plant CMakeLists.txt 'gpcsup_room(base LINK fmt::fmt)
gpcsup_room(wire)
gpcsup_room(sys DEPENDS base)
gpcsup_room(grouping DEPENDS sys)
gpcsup_static_program(gpc-init init)'
plant base/a.h '#pragma once'
plant wire/w.h '#pragma once'
plant sys/s.h '#pragma once
#include "base/a.h"'
plant grouping/g.cpp '#include "base/a.h"
#include "sys/s.h"'
plant init/main.cpp '#include "wire/w.h"'
expect_green "rooms as declared, one of them through another"

plant sys/bad.cpp '#include "grouping/g.h"'
expect_red "an include against the direction" 'room sys may not include "grouping/g.h"'
rm "$tree/src/sys/bad.cpp"

plant init/bad.cpp '#include "base/a.h"'
expect_red "a static program that includes more than wire" 'room init may not include'
rm "$tree/src/init/bad.cpp"

plant grouping/bad.cpp '#include <toml++/toml.h>'
expect_red "a library of another room" 'belongs to config'
rm "$tree/src/grouping/bad.cpp"

plant grouping/bad.cpp '#include "g.h"'
expect_red "an include without its room" 'include by path'
rm "$tree/src/grouping/bad.cpp"

plant base/bad.h '// no guard'
expect_red "a header without guard" 'pragma once'
rm "$tree/src/base/bad.h"

plant base/long.cpp "$(yes '// a line' | head -501)"
expect_red "a long file" '501 lines'
rm "$tree/src/base/long.cpp"

plant strange/x.h '#pragma once'
expect_red "a folder that is no room" 'not a room'
rm -r "$tree/src/strange"
expect_green "every fault taken out again"
