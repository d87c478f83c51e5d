// The connector tracker, fed by hand: its socket is one end of a pair, and the kernel is the test.

#include <linux/cn_proc.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <vector>

#include "processes/connector_tracker.h"
#include "sys/connector_layout.h"

using namespace gpcsup;
using processes::Event;
using processes::EventKind;

namespace {

class Recorder final : public processes::TrackerSink {
  public:
    void handle(const Event& event) override { events.push_back(event); }
    std::vector<Event> events;
};

class Pair {
  public:
    Pair() {
        int sockets[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) == 0);
        ours.reset(sockets[0]);
        theirs.reset(sockets[1]);
    }
    void send(const std::vector<std::byte>& bytes) const {
        REQUIRE(::send(ours.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    }
    base::Fd ours;
    base::Fd theirs;
};

template <class Layout>
void append(std::vector<std::byte>& bytes, const Layout& layout) {
    const auto* begin = reinterpret_cast<const std::byte*>(&layout);
    bytes.insert(bytes.end(), begin, begin + sizeof layout);
}

std::vector<std::byte> datagram(const proc_event& event, std::uint32_t sequence) {
    std::vector<std::byte> bytes;
    append(bytes, nlmsghdr{});
    append(bytes, sys::ConnectorHeader{.index = 1, .value = 1, .sequence = sequence});
    append(bytes, event);
    return bytes;
}

std::vector<std::byte> fork_of(pid_t parent, pid_t process, pid_t thread, std::uint32_t sequence,
                               std::uint32_t cpu = 0) {
    proc_event event{};
    event.what = proc_event::PROC_EVENT_FORK;
    event.cpu = cpu;
    event.event_data.fork = {parent, parent, thread, process};
    return datagram(event, sequence);
}

std::vector<std::byte> exit_of(pid_t process, pid_t thread, std::uint32_t sequence) {
    proc_event event{};
    event.what = proc_event::PROC_EVENT_EXIT;
    event.event_data.exit.process_pid = thread;
    event.event_data.exit.process_tgid = process;
    return datagram(event, sequence);
}

std::vector<std::byte> record_of(pid_t thread, std::uint64_t run_ns) {
    taskstats stats{};
    stats.cpu_run_virtual_total = run_ns;
    std::vector<std::byte> bytes;
    append(bytes, nlmsghdr{});
    append(bytes, genlmsghdr{});
    constexpr std::uint16_t pid_size = sizeof(nlattr) + 4;
    append(bytes, nlattr{.nla_len = static_cast<std::uint16_t>(2 * sizeof(nlattr) + 4 + sizeof stats),
                         .nla_type = TASKSTATS_TYPE_AGGR_PID});
    bytes.resize(bytes.size());
    append(bytes, nlattr{.nla_len = pid_size, .nla_type = TASKSTATS_TYPE_PID});
    append(bytes, static_cast<std::uint32_t>(thread));
    append(bytes, nlattr{.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + sizeof stats),
                         .nla_type = TASKSTATS_TYPE_STATS});
    append(bytes, stats);
    auto* outer = reinterpret_cast<nlattr*>(bytes.data() + NLMSG_HDRLEN + GENL_HDRLEN);
    outer->nla_len = static_cast<std::uint16_t>(bytes.size() - NLMSG_HDRLEN - GENL_HDRLEN);
    return bytes;
}

}  // namespace

TEST_CASE("events are told in order of arrival, threads apart from processes") {
    Recorder recorder;
    Pair connector;
    Pair taskstats;
    processes::ConnectorTracker tracker(recorder, std::move(connector.theirs), std::move(taskstats.theirs));
    connector.send(fork_of(1, 20, 20, 1));
    connector.send(fork_of(1, 20, 21, 2));
    connector.send(exit_of(20, 21, 3));
    taskstats.send(record_of(21, 500));
    REQUIRE(tracker.drain());
    REQUIRE(recorder.events.size() == 3);
    CHECK(recorder.events[0].kind == EventKind::fork);
    CHECK(recorder.events[0].parent == 1);
    CHECK(recorder.events[0].parent_thread == 1);
    CHECK(recorder.events[1].kind == EventKind::thread_start);
    CHECK(recorder.events[1].parent_thread == 0);  // the kernel does not tell who made it
    CHECK(recorder.events[2].kind == EventKind::thread_exit);
    CHECK(recorder.events[2].run_ns == 500);
    CHECK(tracker.losses() == 0);
}

TEST_CASE("a batch is bounded") {
    Recorder recorder;
    Pair connector;
    processes::ConnectorTracker tracker(recorder, std::move(connector.theirs), base::Fd());
    for (std::uint32_t index = 1; index <= 9; ++index) {
        connector.send(fork_of(1, 20, 20, index));
    }
    CHECK(tracker.on_readable(4).value() == processes::Progress::more);
    CHECK(recorder.events.size() == 4);
    CHECK(tracker.on_readable(100).value() == processes::Progress::empty);
    CHECK(recorder.events.size() == 9);
}

TEST_CASE("a gap in a CPU's numbers is a loss, told once and when the queue is empty") {
    Recorder recorder;
    Pair connector;
    processes::ConnectorTracker tracker(recorder, std::move(connector.theirs), base::Fd());
    connector.send(fork_of(1, 20, 20, 7, 0));
    connector.send(fork_of(1, 21, 21, 3, 1));
    connector.send(fork_of(1, 22, 22, 9, 0));  // 8 is missing
    connector.send(fork_of(1, 23, 23, 4, 1));
    connector.send(fork_of(1, 24, 24, 11, 0));  // and 10
    REQUIRE(tracker.drain());
    REQUIRE(recorder.events.size() == 6);
    CHECK(recorder.events.back().kind == EventKind::lost);
    connector.send(fork_of(1, 25, 25, 12, 0));
    REQUIRE(tracker.drain());
    CHECK(recorder.events.size() == 7);
    CHECK(tracker.losses() == 1);
}
