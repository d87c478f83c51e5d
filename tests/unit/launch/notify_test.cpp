#include "launch/notify_message.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>

namespace launch = gpcsup::launch;
using namespace std::chrono_literals;

namespace {

struct Pair {
    gpcsup::base::Fd ours;
    gpcsup::base::Fd theirs;
};

Pair make_pair_of_sockets() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0);
    Pair pair{gpcsup::base::Fd(ends[0]), gpcsup::base::Fd(ends[1])};
    REQUIRE(launch::prepare_notify_socket(pair.ours.get()).has_value());
    return pair;
}

void send_text(int socket, std::string_view text, int descriptor = -1) {
    char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{const_cast<char*>(text.data()), text.size()};
    msghdr envelope{};
    envelope.msg_iov = &part;
    envelope.msg_iovlen = 1;
    if (descriptor >= 0) {
        envelope.msg_control = control;
        envelope.msg_controllen = sizeof(control);
        cmsghdr* header = CMSG_FIRSTHDR(&envelope);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    REQUIRE(sendmsg(socket, &envelope, 0) == static_cast<ssize_t>(text.size()));
}

}  // namespace

TEST_CASE("the words of sd_notify") {
    const auto message = launch::parse_notify(
        "READY=1\nSTATUS=Serving 3 clients\nMAINPID=4711\nEXTEND_TIMEOUT_USEC=5000000\n"
        "WATCHDOG=1\nWATCHDOG_USEC=250000\nERRNO=2\nX_OWN=yes\n");
    CHECK(message.ready);
    CHECK_FALSE(message.reloading);
    CHECK(message.status == "Serving 3 clients");
    CHECK(message.main_pid == 4711);
    CHECK(message.extend_timeout == 5s);
    CHECK(message.watchdog == launch::WatchdogWord::ping);
    CHECK(message.watchdog_period == 250ms);
    CHECK(message.error == 2);
    CHECK(message.unknown == std::vector<std::string>{"X_OWN"});
}

TEST_CASE("reload, stop, store and barrier") {
    const auto message = launch::parse_notify(
        "RELOADING=1\nMONOTONIC_USEC=123\nSTOPPING=1\nFDSTORE=1\nFDNAME=front\nBARRIER=1\nWATCHDOG=trigger");
    CHECK(message.reloading);
    CHECK(message.stopping);
    CHECK(message.fd_store);
    CHECK(message.barrier);
    CHECK(message.fd_name == "front");
    CHECK(message.monotonic == 123us);
    CHECK(message.watchdog == launch::WatchdogWord::trigger);
    CHECK(message.unknown.empty());
}

TEST_CASE("malformed lines are named and change nothing") {
    struct Row {
        std::string_view text;
        std::string_view name;
    };
    const Row rows[] = {{"READY=yes", "READY"},
                        {"READY", "READY"},
                        {"MAINPID=0", "MAINPID"},
                        {"MAINPID=-4", "MAINPID"},
                        {"MAINPID=12x", "MAINPID"},
                        {"MAINPID=99999999999", "MAINPID"},
                        {"WATCHDOG=2", "WATCHDOG"},
                        {"EXTEND_TIMEOUT_USEC=-1", "EXTEND_TIMEOUT_USEC"},
                        {"FDNAME=a:b", "FDNAME"},
                        {"EXTEND_TIMEOUT_USEC=18446744073709551615", "EXTEND_TIMEOUT_USEC"},
                        {"=1", ""},
                        {"ready=1", "ready"}};
    for (const Row& row : rows) {
        INFO(row.text);
        const auto message = launch::parse_notify(row.text);
        CHECK(message.unknown == std::vector<std::string>{std::string(row.name)});
        CHECK_FALSE(message.ready);
        CHECK_FALSE(message.main_pid.has_value());
        CHECK_FALSE(message.watchdog.has_value());
        CHECK_FALSE(message.extend_timeout.has_value());
        CHECK_FALSE(message.fd_name.has_value());
    }
    CHECK(launch::parse_notify("").unknown.empty());
    CHECK(launch::parse_notify("\n\n").unknown.empty());
}

TEST_CASE("a status cannot write on someone's terminal") {
    CHECK(launch::parse_notify("STATUS=a\x1b[31mb\tc").status == "a [31mb c");
    CHECK(launch::parse_notify("STATUS=" + std::string(5000, 'x')).status->size() == 1024);
}

TEST_CASE("a message that was only looked at is still there") {
    const Pair pair = make_pair_of_sockets();
    send_text(pair.theirs.get(), "READY=1");
    send_text(pair.theirs.get(), "STATUS=second");
    for (int look = 0; look < 3; ++look) {
        const auto seen = launch::peek_notify(pair.ours.get());
        REQUIRE(seen.has_value());
        CHECK(seen->text == "READY=1");
        CHECK(seen->pid == getpid());
        CHECK(seen->uid == getuid());
    }
    REQUIRE(launch::consume_notify(pair.ours.get()).has_value());
    CHECK(launch::peek_notify(pair.ours.get())->text == "STATUS=second");
    REQUIRE(launch::consume_notify(pair.ours.get()).has_value());
    CHECK(launch::peek_notify(pair.ours.get()).error().code == EAGAIN);
    CHECK(launch::consume_notify(pair.ours.get()).error().code == EAGAIN);
}

TEST_CASE("a barrier is answered when message and queue have let go of its descriptor") {
    const Pair pair = make_pair_of_sockets();
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    const gpcsup::base::Fd reader(ends[0]);
    send_text(pair.theirs.get(), "BARRIER=1", ends[1]);
    close(ends[1]);
    char byte = 0;
    {
        const auto seen = launch::peek_notify(pair.ours.get());
        REQUIRE(seen.has_value());
        CHECK(seen->descriptors.size() == 1);
        REQUIRE(launch::consume_notify(pair.ours.get()).has_value());
        CHECK(read(reader.get(), &byte, 1) == -1);  // our copy still holds it
        CHECK(errno == EAGAIN);
    }
    CHECK(read(reader.get(), &byte, 1) == 0);
}

TEST_CASE("a datagram that is too long says so") {
    const Pair pair = make_pair_of_sockets();
    send_text(pair.theirs.get(), std::string(6000, 'x'));
    const auto seen = launch::peek_notify(pair.ours.get());
    REQUIRE(seen.has_value());
    CHECK(seen->completeness == launch::ReceivedNotify::Completeness::truncated);
}
