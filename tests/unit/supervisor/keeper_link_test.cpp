#include "supervisor/keeper_link.h"

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <cerrno>

using namespace gpcsup;
using supervisor::KeeperLink;

namespace {

struct Pair {
    Pair() {
        int ends[2] = {-1, -1};
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        ours = base::Fd(ends[0]);
        init = base::Fd(ends[1]);
    }
    base::Fd ours;
    base::Fd init;
};

}  // namespace

TEST_CASE("gpc-init has gone when its end is closed, read or unread") {
    Pair pair;
    SECTION("with nothing outstanding") {}
    SECTION("with a message that it has not read") {
        REQUIRE(send(pair.ours.get(), "x", 1, 0) == 1);
    }
    pair.init.reset();
    KeeperLink link(std::move(pair.ours));
    const auto arrival = link.receive();
    REQUIRE_FALSE(arrival);
    CHECK(KeeperLink::means_gone(arrival.error()));
}

TEST_CASE("a gpc-init of another version lives: its services must not be killed") {
    Pair pair;
    wire::KeepMessage message;
    SECTION("it speaks another version") {
        ++message.version;
        REQUIRE(send(pair.init.get(), &message, sizeof message, 0) == sizeof message);
    }
    SECTION("its messages have another size") {
        REQUIRE(send(pair.init.get(), &message, sizeof message - 8, 0) == sizeof message - 8);
    }
    KeeperLink link(std::move(pair.ours));
    const auto arrival = link.receive();
    REQUIRE_FALSE(arrival);
    CHECK(arrival.error().code == EPROTO);
    CHECK_FALSE(KeeperLink::means_gone(arrival.error()));
}
