// What controllers know of groups and is no setting, through the journal.

#include "supervisor/group_notes.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>

#include "supervisor/compacted.h"

using namespace gpcsup;
using namespace gpcsup::supervisor;
using grouping::GroupId;

namespace {

struct Life {
    explicit Life(base::Fd memory = {})
        : keeper_(open_channel()),
          journal_(memory ? *journal::Journal::adopt(std::move(memory)) : *journal::Journal::create()),
          descriptor_(journal_.descriptor()),
          states_(*journal::fold(journal_)),
          chronicle_(std::move(journal_), keeper_),
          notes_(chronicle_) {
        notes_.restore(states_, forest_);
    }
    base::Fd open_channel() {
        std::array<int, 2> ends{};
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
        init_ = base::Fd(ends[1]);
        return base::Fd(ends[0]);
    }
    [[nodiscard]] base::Fd memory() const { return base::Fd(fcntl(descriptor_, F_DUPFD_CLOEXEC, 3)); }
    [[nodiscard]] std::string said(GroupId group, std::string_view controller) const {
        return notes_.find(group, controller).value_or("nothing");
    }

    base::Fd init_;
    KeeperLink keeper_;
    journal::Journal journal_;
    int descriptor_;
    journal::States states_;
    Chronicle chronicle_;
    grouping::Forest forest_;
    GroupNotes notes_;
};

}  // namespace

TEST_CASE("a note is there for a successor, the newest, until it is forgotten or its group has gone") {
    Life first;
    const GroupId root = first.forest_.hierarchy(grouping::HierarchyId{0})->root;
    first.notes_.set(root, "cpuacct", "5");
    first.notes_.set(root, "cpuacct", "7");
    first.notes_.set(root, "other", "\"quoted\"\n");
    first.notes_.set(GroupId{77}, "cpuacct", "of a group that is not there any more");
    CHECK(first.said(root, "cpuacct") == "7");
    CHECK(first.said(root, "nobody") == "nothing");
    CHECK(first.said(GroupId{78}, "cpuacct") == "nothing");

    Life second(first.memory());
    CHECK(second.said(root, "cpuacct") == "7");
    CHECK(second.said(root, "other") == "\"quoted\"\n");
    CHECK(second.said(GroupId{77}, "cpuacct") == "nothing");
    second.notes_.erase(root, "other");
    second.notes_.erase(root, "nobody");

    SECTION("and in a compacted journal") {
        Life third(tests::compacted(second.chronicle_, std::move(second.init_)));
        CHECK(third.said(root, "cpuacct") == "7");
        CHECK(third.said(root, "other") == "nothing");
        CHECK(third.states_.size() == 1);
    }
    SECTION("and without one") {
        Life third(second.memory());
        CHECK(third.said(root, "cpuacct") == "7");
        CHECK(third.said(root, "other") == "nothing");
        CHECK(third.states_.size() == 1);
    }
}
