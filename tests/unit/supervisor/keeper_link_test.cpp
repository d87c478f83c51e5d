#include "supervisor/keeper_link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

#include "supervisor/chronicle.h"

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

namespace {

void say(const base::Fd& to, wire::KeepVerb verb, std::uint64_t argument) {
    wire::KeepMessage message;
    message.verb = verb;
    message.argument = argument;
    REQUIRE(send(to.get(), &message, sizeof message, 0) == sizeof message);
}

}  // namespace

TEST_CASE("what gpc-init does not keep is an error, and what it says meanwhile is heard afterwards") {
    Pair pair;
    KeeperLink link(std::move(pair.ours));
    int called = 0;
    link.on_waiting([&called] { ++called; });
    say(pair.init, wire::KeepVerb::dropped, 0);  // of something else
    say(pair.init, wire::KeepVerb::exited, 0);
    SECTION("kept") {
        say(pair.init, wire::KeepVerb::kept, 1);
        CHECK(link.keep(wire::KeepClass::journal, 0, "journal", pair.init.get()));
    }
    SECTION("no room") {
        say(pair.init, wire::KeepVerb::dropped, 1);
        const auto kept = link.keep(wire::KeepClass::journal, 0, "journal", pair.init.get());
        REQUIRE_FALSE(kept);
        CHECK(kept.error().code == EMFILE);
    }
    SECTION("gone") {
        pair.init.reset();
        const auto kept = link.keep(wire::KeepClass::journal, 0, "journal", STDERR_FILENO);
        REQUIRE_FALSE(kept);
        CHECK(KeeperLink::means_gone(kept.error()));
        return;
    }
    CHECK(called == 1);
    for (const wire::KeepVerb verb : {wire::KeepVerb::dropped, wire::KeepVerb::exited}) {
        auto arrival = link.receive();
        REQUIRE(arrival);
        REQUIRE(arrival->has_value());
        CHECK((*arrival)->message.verb == verb);
    }
    CHECK_FALSE(link.receive()->has_value());
}

TEST_CASE("an older gpc-init, which does not answer a keep, is not waited for") {
    Pair pair;
    KeeperLink link(std::move(pair.ours));
    say(pair.init, wire::KeepVerb::delivered, 1);  // with no abilities, as it says it
    REQUIRE(link.receive_all());
    REQUIRE(link.keep(wire::KeepClass::journal, 0, "journal", STDERR_FILENO));
    wire::KeepMessage told;
    REQUIRE(recv(pair.init.get(), &told, sizeof told, MSG_DONTWAIT) == sizeof told);
    CHECK(told.verb == wire::KeepVerb::keep);
    CHECK(told.argument == 0);
}

TEST_CASE("a compacted journal that is not kept does not take the old one's place") {
    Pair pair;
    KeeperLink link(std::move(pair.ours));
    auto journal = journal::Journal::create();
    REQUIRE(journal);
    const base::Fd old(dup(journal->descriptor()));  // as gpc-init has it
    supervisor::Chronicle chronicle(std::move(*journal), link);
    const std::string filler(1000, 'x');
    for (int i = 0; i < 1200; ++i) {
        chronicle.note("unit-status", {{"text", filler}});
    }
    say(pair.init, wire::KeepVerb::dropped, 1);
    chronicle.compact_when_grown();
    chronicle.state({}, "late", {{"seen", true}});
    chronicle.compact_when_grown();  // not again at once: nothing has been sent
    auto kept = journal::Journal::adopt(base::Fd(dup(old.get())));
    REQUIRE(kept);
    const auto states = journal::fold(*kept);
    REQUIRE(states);
    CHECK(states->contains("late"));
    CHECK(chronicle
              .last_event("journal", [](std::string_view event,
                                        const supervisor::Json&) { return event == "keep-refused"; })
              .is_object());
    wire::KeepMessage request;
    REQUIRE(recv(pair.init.get(), &request, sizeof request, MSG_DONTWAIT) == sizeof request);
    CHECK(recv(pair.init.get(), &request, sizeof request, MSG_DONTWAIT) < 0);
}
