// `run`: where the command is, what is asked for, and which exit code an end means.

#include "cli/command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "cli/signals.h"

namespace cli = gpcsup::cli;
using cli::Json;

namespace {

struct Directory {
    std::filesystem::path path;
    Directory() {
        std::string pattern = std::filesystem::temp_directory_path() / "gpcsup-command-XXXXXX";
        path = ::mkdtemp(pattern.data());
    }
    ~Directory() { std::filesystem::remove_all(path); }
    void file(const char* name, mode_t mode) const {
        const int fd = ::open((path / name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, mode);
        REQUIRE(fd >= 0);
        ::close(fd);
    }
};

int exit_of(const char* unit) {
    return cli::outcome_of(Json::parse(unit)).exit_status;
}

}  // namespace

TEST_CASE("A command is found by PATH as a shell finds it") {
    const Directory first;
    const Directory second;
    first.file("tool", 0644);
    second.file("tool", 0755);
    second.file("plain", 0644);
    std::filesystem::create_directory(first.path / "folder");
    const std::string path = first.path.string() + ":" + second.path.string();
    CHECK(cli::find_command("tool", path, "/") == (second.path / "tool").string());
    CHECK(cli::find_command("plain", path, "/").error().code == EACCES);
    CHECK(cli::find_command("folder", path, "/").error().code == ENOENT);
    CHECK(cli::find_command("nothing", path, "/").error().code == ENOENT);
    CHECK(cli::find_command("./tool", "", second.path) == second.path.string() + "/./tool");
    CHECK(cli::find_command("tool", "", second.path) == second.path.string() + "/./tool");
    CHECK(cli::find_command("", path, "/").error().code == ENOENT);
    CHECK(cli::find_command("/etc/passwd", path, "/").error().code == EACCES);
}

TEST_CASE("The request says all that the command inherits") {
    auto arguments = cli::parse_arguments(
        {"run", "-g", "tenant:/acme", "-l", "numtasks.limit=4", "--name", "job", "--", "ls", "-l"});
    REQUIRE(arguments);
    const cli::Surroundings around{"/usr", {"A=b=c", "EMPTY=", "BROKEN=\xff", "nonsense"}};
    const auto text = cli::run_request(*arguments, "/bin/ls", around, cli::Streams::terminal);
    REQUIRE(text);
    const Json request = Json::parse(*text);
    CHECK(request["command"] == Json::parse(R"(["ls","-l"])"));
    CHECK(request["executable"] == "/bin/ls");
    CHECK(request["groups"] == Json::parse(R"(["tenant:/acme"])"));
    CHECK(request["limits"] == Json::parse(R"({"numtasks.limit":"4"})"));
    CHECK(request["environment"] == Json::parse(R"({"A":"b=c","EMPTY":""})"));
    CHECK(request["directory"] == "/usr");
    CHECK(request["terminal"] == true);
    CHECK(request["detach"] == false);
    CHECK(request["name"] == "job");
    arguments->words.emplace_back("\xff");
    CHECK(cli::run_request(*arguments, "/bin/ls", around, cli::Streams::terminal).error().code == EINVAL);
    auto wrong = cli::parse_arguments({"run", "-l", "numtasks.limit", "ls"});
    REQUIRE(wrong);
    CHECK(cli::run_request(*wrong, "/bin/ls", around, cli::Streams::as_they_are).error().code == EINVAL);
}

TEST_CASE("The exit code is the command's, a signal's, or says what went wrong") {
    CHECK(exit_of(R"({"name":"run-1","state":"inactive","exit_code":0,"signal":null,"exec":null})") == 0);
    CHECK(exit_of(R"({"name":"run-1","state":"failed","exit_code":7,"signal":null})") == 7);
    CHECK(exit_of(R"({"name":"run-1","state":"failed","exit_code":null,"signal":"KILL"})") == 137);
    CHECK(exit_of(R"({"name":"run-1","state":"failed","exit_code":null,"signal":"SIGTERM"})") == 143);
    CHECK(exit_of(R"({"name":"run-1","state":"failed","exit_code":null,"signal":2})") == 130);
    CHECK(
        exit_of(R"({"name":"run-1","state":"failed","exit_code":127,"exec":{"step":"execute","errno":2}})") ==
        127);
    CHECK(exit_of(
              R"({"name":"run-1","state":"failed","exit_code":127,"exec":{"step":"execute","errno":13}})") ==
          126);
    CHECK(
        exit_of(R"({"name":"run-1","state":"failed","exit_code":127,"exec":{"step":"execute","errno":8}})") ==
        126);
    CHECK(exit_of(
              R"({"name":"run-1","state":"failed","exit_code":127,"exec":{"step":"directory","errno":2}})") ==
          125);
    CHECK(exit_of(R"({"name":"run-1","state":"failed","reason":"dependency: …"})") == 125);
    CHECK(exit_of("{}") == 125);
    CHECK_FALSE(cli::outcome_of(Json::parse(R"({"name":"run-1","state":"failed","reason":"start: no"})"))
                    .complaint.empty());
    CHECK(cli::outcome_of(Json::parse(R"({"exit_code":3})")).complaint.empty());
}

TEST_CASE("Signals have names in every spelling") {
    for (const char* name : {"KILL", "SIGKILL", "kill", "sigkill", "9"}) {
        CHECK(cli::parse_signal(name) == SIGKILL);
    }
    CHECK(cli::parse_signal("RTMIN") == SIGRTMIN);
    CHECK(cli::parse_signal("RTMIN+3") == SIGRTMIN + 3);
    CHECK(cli::parse_signal("SIGUSR1") == SIGUSR1);
    for (const char* name : {"", "0", "65", "-9", "9x", "KIL1", "RTMIN+", "RTMIN+99", "RTMAX"}) {
        CHECK_FALSE(cli::parse_signal(name));
    }
    CHECK(cli::parse_signal("TREM").error().message().find("TERM") != std::string::npos);
}
