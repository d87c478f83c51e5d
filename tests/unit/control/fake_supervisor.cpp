#include "control/fake_supervisor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

namespace gpcsup::test {

namespace {

struct Server {
    Manner manner;
    Seen* seen;
    int progress;
    int listener;
    sd_event* event = nullptr;
};

void note(Server& server) {
    server.seen->calls.fetch_add(1);
    eventfd_write(server.progress, 1);
}

std::uint64_t skip_units_and_read_number(sd_bus_message* message) {
    std::uint64_t number = 0;
    sd_bus_message_skip(message, "as");
    sd_bus_message_read(message, "t", &number);
    return number;
}

int on_run(sd_bus_message* message, Server& server) {
    const char* request = nullptr;
    sd_bus_message_read(message, "s", &request);
    const char* token = std::strstr(request, "\"token\":");
    server.seen->last_token = token != nullptr ? std::strtoull(token + 8, nullptr, 10) : 0;
    sd_bus_message_enter_container(message, 'a', "h");
    int descriptor = -1;
    while (sd_bus_message_read(message, "h", &descriptor) > 0) {
        server.seen->descriptors.fetch_add(1);
        static_cast<void>(!::write(descriptor, "hello", 5));
    }
    return sd_bus_reply_method_return(message, "st", "run-1", std::uint64_t{99});
}

int on_kill(sd_bus_message* message, Server& server) {
    const char* what = nullptr;
    const char* whom = nullptr;
    int signal = 0;
    sd_bus_message_read(message, "sis", &what, &signal, &whom);
    server.seen->signal = signal;
    if (std::strcmp(what, "stranger") == 0) {
        return sd_bus_reply_method_errorf(message, "org.gpcsup1.Error.NotFound",
                                          "no unit \"stranger\"; did you mean strange?");
    }
    return sd_bus_reply_method_return(message, "u", std::uint32_t{3});
}

int on_job(sd_bus_message* message, Server& server) {
    const std::uint64_t token = skip_units_and_read_number(message);
    if (server.seen->first_token == 0) {
        server.seen->first_token = token;
    }
    server.seen->last_token = token;
    if (server.manner == Manner::dies_at_calls) {
        ::_exit(0);
    }
    return sd_bus_reply_method_return(message, "t", std::uint64_t{7});
}

int on_wait(sd_bus_message* message, Server& server) {
    std::uint64_t job = 0;
    std::uint64_t timeout = 0;
    sd_bus_message_read(message, "tt", &job, &timeout);
    server.seen->last_job = job;
    return sd_bus_reply_method_return(message, "s",
                                      "{\"schema\":1,\"settled\":true,\"ok\":true,\"units\":[]}");
}

void on_remove(sd_bus_message* message, Server& server) {
    const char* group = nullptr;
    const char* how = "";
    std::uint64_t timeout = 0;
    sd_bus_message_read(message, "sst", &group, &how, &timeout);
    std::strncpy(server.seen->remove_how.data(), how, server.seen->remove_how.size() - 1);
    server.seen->remove_timeout_us = timeout;
}

int on_events(sd_bus_message* message) {
    std::uint64_t since = 0;
    std::uint32_t most = 0;
    sd_bus_message_read(message, "tu", &since, &most);
    std::string lines;
    std::uint64_t next = since;
    for (; next < 3; ++next) {
        lines += "{\"seq\":" + std::to_string(next + 1) + ",\"event\":\"kept\"}\n";
    }
    return sd_bus_reply_method_return(message, "st", lines.c_str(), next);
}

int on_message(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto& server = *static_cast<Server*>(userdata);
    std::uint8_t type = 0;
    sd_bus_message_get_type(message, &type);
    const char* member = sd_bus_message_get_member(message);
    if (type != SD_BUS_MESSAGE_METHOD_CALL || member == nullptr) {
        return 0;
    }
    const std::string_view method = member;
    if (method == "Hello") {
        return sd_bus_reply_method_return(message, "suus", "9.9", std::uint32_t(::getpid()), std::uint32_t{1},
                                          "user");
    }
    if (method == "Start") {
        const int r = on_job(message, server);
        note(server);
        return r;
    }
    if (method == "RemoveGroup") {
        on_remove(message, server);
    }
    note(server);
    if (server.manner == Manner::swallows_calls) {
        return 1;
    }
    if (server.manner == Manner::dies_at_calls) {
        ::_exit(0);
    }
    if (method == "Wait") {
        return on_wait(message, server);
    }
    if (method == "Run") {
        return on_run(message, server);
    }
    if (method == "Kill") {
        return on_kill(message, server);
    }
    if (method == "Events") {
        return on_events(message);
    }
    if (method == "Subscribe") {
        sd_bus* bus = sd_bus_message_get_bus(message);
        sd_bus_reply_method_return(message, "");
        return sd_bus_emit_signal(bus, "/org/gpcsup1", "org.gpcsup1.Manager", "Event", "s",
                                  "{\"seq\":3,\"event\":\"signalled\"}") < 0
                   ? -EIO
                   : sd_bus_emit_signal(bus, "/org/gpcsup1", "org.gpcsup1.Manager", "Event", "s",
                                        "{\"seq\":4,\"event\":\"signalled\"}");
    }
    if (method == "Set") {
        return sd_bus_reply_method_errorf(message, "org.gpcsup1.Error.Denied", "only root may");
    }
    return sd_bus_reply_method_return(message, "s", "{\"schema\":1,\"units\":[]}");
}

int on_connection(sd_event_source*, int listener, std::uint32_t, void* userdata) {
    auto& server = *static_cast<Server*>(userdata);
    const int socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0) {
        return 0;
    }
    if (server.manner == Manner::drops_connections) {
        note(server);
        ::close(socket);
        return 0;
    }
    sd_bus* bus = nullptr;  // lives as long as this process
    sd_id128_t id{};
    sd_id128_randomize(&id);
    sd_bus_new(&bus);
    sd_bus_set_fd(bus, socket, socket);
    sd_bus_set_server(bus, 1, id);
    sd_bus_negotiate_fds(bus, 1);
    sd_bus_set_trusted(bus, 1);
    sd_bus_add_filter(bus, nullptr, on_message, &server);
    sd_bus_start(bus);
    sd_bus_attach_event(bus, server.event, SD_EVENT_PRIORITY_NORMAL);
    return 0;
}

[[noreturn]] void serve_forever(Server server) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (server.manner == Manner::drops_at_once) {  // waits for nothing, to be faster than the client
        if (const int socket = ::accept4(server.listener, nullptr, nullptr, SOCK_CLOEXEC); socket >= 0) {
            ::close(socket);
            note(server);
        }
    }
    sd_event_new(&server.event);
    sd_event_add_io(server.event, nullptr, server.listener, POLLIN, on_connection, &server);
    sd_event_loop(server.event);
    ::_exit(0);
}

}  // namespace

FakeSupervisor::FakeSupervisor(Manner manner) : progress_(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE)) {
    std::string pattern = std::filesystem::temp_directory_path() / "gpcsup-client-XXXXXX";
    runtime_ = ::mkdtemp(pattern.data());
    seen_ =
        new (::mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Seen{};
    open_socket();
    serve(manner);
}

FakeSupervisor::~FakeSupervisor() {
    kill();
    ::munmap(seen_, sizeof(Seen));
    std::filesystem::remove_all(runtime_);
}

void FakeSupervisor::open_socket() {
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (runtime_ + "/control").c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 16) == 0);
}

void FakeSupervisor::serve(Manner manner) {
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
        serve_forever({manner, seen_, progress_.get(), listener_.get()});
    }
}

void FakeSupervisor::kill() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
}

void FakeSupervisor::vanish() {
    kill();
    listener_.reset();
    std::filesystem::remove(runtime_ + "/control");
}

void FakeSupervisor::wait_for_calls(std::uint64_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (seen_->calls < count) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        pollfd ready{progress_.get(), POLLIN, 0};
        REQUIRE(::poll(&ready, 1, static_cast<int>(std::max<long>(left.count(), 0))) == 1);
        eventfd_t one = 0;
        eventfd_read(progress_.get(), &one);
    }
}

}  // namespace gpcsup::test
