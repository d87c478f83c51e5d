#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>

#include "sys/proc_files.h"

using namespace std::string_literals;
using namespace gpcsup;

namespace {

std::string stat_line(const std::string& name) {
    return "4711 (" + name +
           ") S 17 4700 4699 34816 4711 4194560 2211 9 0 0 31 12 700 80 20 0 3 0 987654 12345 678 "
           "18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0\n";
}

}  // namespace

TEST_CASE("stat is read whatever a process calls itself") {
    const std::string name = GENERATE("bash"s, "a b"s, "evil) R 1 1"s, ")"s, "(("s, ""s, "new\nline"s);
    const auto stat = sys::parse_stat(stat_line(name));
    REQUIRE(stat);
    CHECK(stat->pid == 4711);
    CHECK(stat->name == name);
    CHECK(stat->state == 'S');
    CHECK(stat->parent == 17);
    CHECK(stat->process_group == 4700);
    CHECK(stat->session == 4699);
    CHECK(stat->user == 31);
    CHECK(stat->system == 12);
    CHECK(stat->children_user == 700);
    CHECK(stat->children_system == 80);
    CHECK(stat->threads == 3);
    CHECK(stat->start_time == 987654);
}

TEST_CASE("a stat line that is cut off is refused") {
    const std::string line = stat_line("x");
    const std::size_t length = GENERATE(0, 4, 6, 8, 10, 30, 60);
    CHECK_FALSE(sys::parse_stat(std::string_view(line).substr(0, length)));
}

TEST_CASE("a stat line of a process that is just being released is nobody's") {
    const auto stat = sys::parse_stat(
        "4711 (x) Z 0 -1 -1 0 -1 4194564 0 0 0 0 0 0 0 0 20 0 0 0 987654 0 0 18446744073709551615 0 0 0\n");
    REQUIRE_FALSE(stat);
    CHECK(stat.error().code == ESRCH);
}

TEST_CASE("the CPUs of a status are read whole or not at all") {
    const std::string before = "Name:\tx\nCpus_allowed:\tc\n";
    CHECK(sys::cpus_allowed(before + "Cpus_allowed_list:\t2-3\nMems_allowed:\t1\n")->format() == "2-3");
    CHECK_FALSE(sys::cpus_allowed(before + "Cpus_allowed_list:\t2-3"));  // cut off: it may go on
    CHECK_FALSE(sys::cpus_allowed(before));
    CHECK_FALSE(sys::cpus_allowed(before + "Cpus_allowed_list:\tnone\n"));
}

TEST_CASE("a process has ended when no thread of it is left") {
    sys::ProcStat stat;
    stat.state = 'Z';
    stat.threads = 1;
    CHECK(stat.ended());
    stat.threads = 3;  // its leader alone has ended
    CHECK_FALSE(stat.ended());
    stat.threads = 1;
    stat.state = 'D';
    CHECK_FALSE(stat.ended());
}

TEST_CASE("children lists") {
    CHECK(sys::parse_children("").value().empty());
    CHECK(sys::parse_children("\n").value().empty());
    CHECK(sys::parse_children("5 6 70 ").value() == std::vector<pid_t>{5, 6, 70});
    CHECK_FALSE(sys::parse_children("5 x"));
    CHECK_FALSE(sys::parse_children("-5"));
}

TEST_CASE("a variable of an environment") {
    const std::string text = "PATH=/bin\0XGPCSUP_ID=no\0GPCSUP_ID=web\0GPCSUP_IDX=no\0EMPTY=\0"s;
    CHECK(sys::environment_value(text, "GPCSUP_ID") == "web");
    CHECK(sys::environment_value(text, "EMPTY") == "");
    CHECK(sys::environment_value(text, "GPCSUP") == std::nullopt);
    CHECK(sys::environment_value("A=1", "A") == "1");  // the last entry may lack its end
    CHECK(sys::environment_value("", "A") == std::nullopt);
}

TEST_CASE("ignored signals of a status file") {
    CHECK(sys::ignores_signal("Name:\tx\nSigIgn:\t0000000000010000\nSigCgt:\t0\n", SIGCHLD) == true);
    CHECK(sys::ignores_signal("Name:\tx\nSigIgn:\t0000000000000006\n", SIGCHLD) == false);
    CHECK(sys::ignores_signal("Name:\tx\n", SIGCHLD) == std::nullopt);
    CHECK(sys::ignores_signal("Name:\tx\nSigIgn:\t", SIGCHLD) == std::nullopt);
}

TEST_CASE("the process of a thread") {
    CHECK(sys::process_of("Name:\tx\nTgid:\t71\nNgid:\t0\n") == 71);
    CHECK(sys::process_of("Name:\tTgid:\t5\n") == 0);
    CHECK(sys::process_of("Name:\tx\nTgid:\t") == 0);
    CHECK(sys::process_of("") == 0);
}

TEST_CASE("the users of a process") {
    const auto users = sys::users_of("Name:\tx y\nUid:\t1000\t0\t1001\t1002\nGid:\t5\t5\t5\t5\n");
    REQUIRE(users.has_value());
    CHECK(users->real == 1000);
    CHECK(users->effective == 0);
    CHECK(users->saved == 1001);
    CHECK_FALSE(sys::users_of("Name:\tx\nGid:\t5\t5\t5\t5\n").has_value());
    CHECK_FALSE(sys::users_of("Name:\tx\nUid:\t1000\t0\n").has_value());
    CHECK_FALSE(sys::users_of("").has_value());
}
