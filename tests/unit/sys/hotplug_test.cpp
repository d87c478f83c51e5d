#include "sys/hotplug.h"

#include <catch2/catch.hpp>

using namespace gpcsup;
using namespace std::string_view_literals;

TEST_CASE("uevents of CPUs and nodes are told from all others") {
    CHECK(sys::is_of_cpu_or_node("offline@/devices/system/cpu/cpu3\0ACTION=offline\0SEQNUM=1234\0"sv));
    CHECK(sys::is_of_cpu_or_node("online@/devices/system/cpu/cpu3"));
    CHECK(sys::is_of_cpu_or_node("add@/devices/system/node/node1\0ACTION=add\0"sv));
    CHECK(sys::is_of_cpu_or_node("online@/devices/system/memory/memory32\0"sv));
    CHECK_FALSE(
        sys::is_of_cpu_or_node("add@/devices/virtual/net/cpu0\0DEVPATH=/devices/system/cpu/cpu3\0"sv));
    CHECK_FALSE(sys::is_of_cpu_or_node("libudev\0/devices/system/cpu/cpu3"sv));
    CHECK_FALSE(sys::is_of_cpu_or_node(""));
}

TEST_CASE("the socket of uevents opens for anybody and does not wait") {
    auto socket = sys::open_hotplug();
    REQUIRE(socket);
    (void)sys::take_hotplug(socket->get());  // the machine may have told something meanwhile
    CHECK_FALSE(sys::take_hotplug(-1));
}
