// The server's end of the bus with a handler that knows nothing: what the transport itself promises.

#include "control/server.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <thread>

#include "control/client.h"

using namespace std::chrono_literals;
using namespace gpcsup;
using control::Caller;

namespace {

// Refuses everything, and drops every reply that is to be given later.
class Forgetful final : public control::Handler {
  public:
    static std::unexpected<base::Error> no() { return base::refuse(EINVAL, "not here"); }
    Json status(const Caller&, Names, Text) override { return no(); }
    Json tree(const Caller&, Text) override { return no(); }
    Json processes(const Caller&, Text) override { return no(); }
    Json get(Text, Text) override { return no(); }
    Json hierarchies() override { return no(); }
    Json groups(Text) override { return no(); }
    Json why(const Caller&, Text) override { return no(); }
    Json describe(Text) override { return no(); }
    Json snapshot() override { return no(); }
    base::Result<std::pair<std::string, std::uint64_t>> events(std::uint64_t, std::uint64_t) override {
        return no();
    }
    base::Result<> set(const Caller&, Text, std::span<const std::pair<std::string, std::string>>) override {
        return no();
    }
    base::Result<std::uint64_t> job(const Caller&, control::JobKind, Names, std::uint64_t) override {
        return no();
    }
    void wait(const Caller&, std::uint64_t, std::uint64_t, control::Reply) override {}
    base::Result<std::uint32_t> kill(const Caller&, Text, int, Text) override { return no(); }
    void wait_killed(const Caller&, Text, control::Reply) override {}
    void freeze(const Caller&, Text, control::Reply) override {}
    Json thaw(const Caller&, Text) override { return no(); }
    void wait_group(const Caller&, Text, Text, std::uint64_t, control::Reply) override {}
    Json attach(const Caller&, Names, Names, Text, control::Refused) override { return no(); }
    base::Result<> create_hierarchy(const Caller&, Text, Names, Text) override { return no(); }
    base::Result<> remove_hierarchy(const Caller&, Text) override { return no(); }
    base::Result<> rebind_hierarchy(const Caller&, Text, Names) override { return no(); }
    base::Result<> create_group(const Caller&, Text, Text) override { return no(); }
    void remove_group(const Caller&, Text, Text, std::uint64_t, control::Reply) override {}
    base::Result<> rename_group(const Caller&, Text, Text) override { return no(); }
    base::Result<std::pair<std::string, std::uint64_t>> run(const Caller&, Text, control::Streams) override {
        return no();
    }
    Json apply(const Caller&, Text) override { return no(); }
    base::Result<> shutdown(const Caller&, Text) override { return no(); }
    base::Result<> reexec(const Caller&) override { return no(); }
    void disconnected(std::uint64_t) override {}
    std::vector<std::string> unit_names() override { return {}; }
    base::Result<Properties> unit_properties(Text) override { return no(); }
    std::vector<std::string> hierarchy_names() override { return {}; }
    base::Result<Properties> hierarchy_properties(Text) override { return no(); }
    std::vector<std::string> group_names() override { return {}; }
    base::Result<Properties> group_properties(Text) override { return no(); }
    std::string identity() override { return "9.9"; }
    std::pair<std::uint32_t, std::uint32_t> pids() override { return {1, 1}; }
    std::string mode() override { return "user"; }
};

class Serving {
  public:
    Serving() {
        std::string pattern = std::filesystem::temp_directory_path() / "gpcsup-server-XXXXXX";
        directory = ::mkdtemp(pattern.data());
        listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, (directory + "/control").c_str(), sizeof address.sun_path - 1);
        REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        REQUIRE(::listen(listener_.get(), 16) == 0);
        end_.reset(::eventfd(0, EFD_CLOEXEC));
        thread_ = std::thread([this] { serve(); });
    }
    Serving(const Serving&) = delete;
    Serving& operator=(const Serving&) = delete;
    ~Serving() {
        (void)::eventfd_write(end_.get(), 1);
        thread_.join();
        std::filesystem::remove_all(directory);
    }
    std::string directory;

  private:
    void serve() {
        sd_event* event = nullptr;
        sd_event_new(&event);
        const auto end = [](sd_event_source* source, int, std::uint32_t, void*) {
            return sd_event_exit(sd_event_source_get_event(source), 0);
        };
        sd_event_add_io(event, nullptr, end_.get(), EPOLLIN, end, nullptr);
        {
            Forgetful handler;
            control::Server server(event, listener_.get(), handler);
            if (server.start()) {
                sd_event_loop(event);
            }
        }
        sd_event_unref(event);
    }

    base::Fd listener_;
    base::Fd end_;
    std::thread thread_;
};

}  // namespace

TEST_CASE("a reply that is dropped unanswered ends the caller's call with an error") {
    std::future<base::Result<std::string>> asked;  // ends after the server does, whatever happens
    const Serving serving;
    asked = std::async(std::launch::async, [directory = serving.directory] {
        control::Client client(directory);
        auto opened = client.open();
        return opened ? client.wait(control::JobId(1), 0us)
                      : base::Result<std::string>(std::unexpected(opened.error()));
    });
    REQUIRE(asked.wait_for(15s) == std::future_status::ready);
    const auto answer = asked.get();
    REQUIRE_FALSE(answer);
    CHECK_THAT(answer.error().message(), Catch::Contains("given this call up"));
}
