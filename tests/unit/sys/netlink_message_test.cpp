#include <linux/cn_proc.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "sys/connector_layout.h"
#include "sys/netlink.h"

using namespace gpcsup;

namespace {

template <class Layout>
void append(std::vector<std::byte>& bytes, const Layout& layout) {
    const auto* begin = reinterpret_cast<const std::byte*>(&layout);
    bytes.insert(bytes.end(), begin, begin + sizeof layout);
}

std::vector<std::byte> connector_datagram(const proc_event& event, std::uint32_t sequence) {
    std::vector<std::byte> bytes;
    append(bytes, nlmsghdr{.nlmsg_len = 0});
    append(bytes, sys::ConnectorHeader{.index = 1, .value = 1, .sequence = sequence, .acknowledged = 9});
    append(bytes, event);
    return bytes;
}

void append_attribute(std::vector<std::byte>& bytes, std::uint16_t type,
                      const std::vector<std::byte>& payload) {
    append(bytes,
           nlattr{.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + payload.size()), .nla_type = type});
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    bytes.resize((bytes.size() + 3) & ~std::size_t{3});
}

}  // namespace

TEST_CASE("a fork event names the child, its thread group and the real parent") {
    proc_event event{};
    event.what = proc_event::PROC_EVENT_FORK;
    event.cpu = 3;
    event.timestamp_ns = 77;
    event.event_data.fork = {.parent_pid = 11, .parent_tgid = 10, .child_pid = 21, .child_tgid = 20};
    const auto message = sys::parse_connector(connector_datagram(event, 5));
    REQUIRE(message);
    CHECK(message->kind == sys::ConnectorKind::fork);
    CHECK(message->thread == 21);
    CHECK(message->process == 20);
    CHECK(message->parent == 10);
    CHECK(message->parent_thread == 11);
    CHECK(message->cpu == 3);
    CHECK(message->sequence == 5);
    CHECK(message->timestamp_ns == 77);
}

TEST_CASE("an exit event from a kernel with a shorter union") {
    proc_event event{};
    event.what = proc_event::PROC_EVENT_EXIT;
    event.event_data.exit.process_pid = 4;
    event.event_data.exit.process_tgid = 3;
    event.event_data.exit.exit_code = 256;
    auto datagram = connector_datagram(event, 1);
    datagram.resize(datagram.size() - 8);
    const auto message = sys::parse_connector(datagram);
    REQUIRE(message);
    CHECK(message->kind == sys::ConnectorKind::exit);
    CHECK(message->thread == 4);
    CHECK(message->process == 3);
    CHECK(message->value == 256);
}

TEST_CASE("what is not an event of processes is nothing") {
    proc_event event{};
    auto datagram = connector_datagram(event, 1);
    CHECK(sys::parse_connector(datagram)->kind == sys::ConnectorKind::acknowledgement);
    datagram[16] = std::byte{2};  // another connector
    CHECK_FALSE(sys::parse_connector(datagram));
    CHECK_FALSE(sys::parse_connector(std::span(datagram).first(20)));
    CHECK_FALSE(sys::parse_connector({}));
}

TEST_CASE("a taskstats record of a thread, with and without the one of its group") {
    taskstats stats{};
    stats.cpu_run_virtual_total = 123;
    stats.ac_utime = 4;
    stats.ac_stime = 6;
    std::vector<std::byte> pid;
    append(pid, std::uint32_t{99});
    std::vector<std::byte> raw;
    append(raw, stats);
    std::vector<std::byte> aggregate;
    append_attribute(aggregate, TASKSTATS_TYPE_PID, pid);
    append_attribute(aggregate, TASKSTATS_TYPE_STATS, raw);
    std::vector<std::byte> datagram;
    append(datagram, nlmsghdr{});
    append(datagram, genlmsghdr{});
    append_attribute(datagram, TASKSTATS_TYPE_AGGR_PID, aggregate);
    append_attribute(datagram, TASKSTATS_TYPE_AGGR_TGID, aggregate);
    const auto record = sys::parse_taskstats(datagram);
    REQUIRE(record);
    CHECK(record->thread == 99);
    CHECK(record->run_ns == 123);
    CHECK(record->tick_ns == 10'000);
    for (std::size_t length = 0; length < 60; ++length) {
        CHECK_FALSE(sys::parse_taskstats(std::span(datagram).first(length)));
    }
}
