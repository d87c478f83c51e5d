#pragma once
// A journal that has grown until it is compacted, as a successor gets it.

#include <string>

#include <catch2/catch.hpp>

#include "supervisor/chronicle.h"
#include "supervisor/keeper_link.h"

namespace gpcsup::tests {

// What gpc-init, at the other end of the keeper's channel, is asked to keep in the old one's place.
inline base::Fd compacted(supervisor::Chronicle& chronicle, base::Fd init) {
    const std::string filler(1000, 'x');
    for (int i = 0; i < 1200; ++i) {
        chronicle.note("unit-status", {{"text", filler}});
    }
    chronicle.compact_when_grown();
    supervisor::KeeperLink link(std::move(init));
    auto arrival = link.receive();
    REQUIRE(arrival);
    REQUIRE(arrival->has_value());
    return std::move((*arrival)->descriptor);
}

}  // namespace gpcsup::tests
