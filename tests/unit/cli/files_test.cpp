// Drop-ins, finding the supervisor, and completion scripts.

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/fd.h"
#include "cli/completion.h"
#include "cli/drop_in.h"
#include "cli/find.h"
#include "cli/help.h"
#include "control/errors.h"

namespace cli = gpcsup::cli;
namespace fs = std::filesystem;

namespace {

struct Directory {
    fs::path path;
    Directory() {
        std::string pattern = fs::temp_directory_path() / "gpcsup-files-XXXXXX";
        path = ::mkdtemp(pattern.data());
    }
    ~Directory() { fs::remove_all(path); }
    void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
    [[nodiscard]] std::string read(const std::string& name) const {
        std::stringstream text;
        text << std::ifstream(path / name).rdbuf();
        return text.str();
    }
};

// The variable for the time of a test.
class Variable {
  public:
    Variable(const char* name, const std::string& value) : name_(name) {
        if (const char* before = std::getenv(name)) {
            before_ = before;
        }
        value.empty() ? ::unsetenv(name) : ::setenv(name, value.c_str(), 1);
    }
    ~Variable() { before_.empty() ? ::unsetenv(name_) : ::setenv(name_, before_.c_str(), 1); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

  private:
    const char* name_;
    std::string before_;
};

gpcsup::base::Fd listen_on(const fs::path& runtime) {
    fs::create_directories(runtime);
    gpcsup::base::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (runtime / "control").c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return socket;
}

// What bash would offer for a command line, by its own completion function.
std::string offered(const std::string& line_words, int word) {
    const Directory directory;
    directory.write("completion", cli::bash_completion());
    const std::string script = "source " + (directory.path / "completion").string() + "; COMP_WORDS=(" +
                               line_words + "); COMP_CWORD=" + std::to_string(word) +
                               "; compopt() { :; }; _gpcsup; printf '%s ' \"${COMPREPLY[@]}\"";
    directory.write("script", script);
    FILE* pipe = ::popen(("bash --norc " + (directory.path / "script").string() + " 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
        text += static_cast<char>(c);
    }
    ::pclose(pipe);
    return " " + text;
}

bool has_word(const std::string& text, const std::string& word) {
    return text.find(" " + word + " ") != std::string::npos;
}

}  // namespace

TEST_CASE("enable, disable and mask write their drop-ins, and enable undoes a mask") {
    const Directory directory;
    directory.write("web.toml", "");
    REQUIRE(cli::find_unit_file("web", {directory.path}));
    CHECK(cli::write_drop_in("web", cli::DropIn::disable, directory.path) ==
          (directory.path / "web.d/50-enable.toml").string());
    CHECK(directory.read("web.d/50-enable.toml").find("\nenabled = false\n") != std::string::npos);
    REQUIRE(cli::write_drop_in("web", cli::DropIn::mask, directory.path));
    CHECK(directory.read("web.d/50-mask.toml").find("\nmasked = true\n") != std::string::npos);
    REQUIRE(cli::write_drop_in("web", cli::DropIn::enable, directory.path));
    CHECK(directory.read("web.d/50-enable.toml").find("\nenabled = true\n") != std::string::npos);
    CHECK_FALSE(fs::exists(directory.path / "web.d/50-mask.toml"));
    CHECK(std::distance(fs::directory_iterator(directory.path / "web.d"), fs::directory_iterator()) == 1);
}

TEST_CASE("A unit that no directory has is not found, with a suggestion") {
    const Directory first;
    const Directory second;
    first.write("cache.toml", "");
    second.write("worker@.toml", "");
    second.write(".#cache.toml", "");
    const std::vector<std::string> both{first.path, second.path};
    CHECK(cli::find_unit_file("cache", both));
    CHECK(cli::find_unit_file("worker@", both));
    CHECK_FALSE(cli::find_unit_file("worker@7", both));  // nothing makes instances of it
    CHECK_FALSE(cli::find_unit_file(".#cache", both));
    const auto missing = cli::find_unit_file("cahce", both);
    REQUIRE_FALSE(missing);
    CHECK(gpcsup::control::exit_status(missing.error()) == 4);
    CHECK(missing.error().message().find("did you mean cache?") != std::string::npos);
    CHECK_FALSE(cli::find_unit_file("worker", both));
}

TEST_CASE("A drop-in is made in a directory that was not there yet") {
    const Directory directory;
    REQUIRE(cli::write_drop_in("web", cli::DropIn::mask, directory.path / "deep/units"));
    CHECK(fs::exists(directory.path / "deep/units/web.d/50-mask.toml"));
}

TEST_CASE("The supervisor is found where it is named, or nowhere: 69 and where it was looked for") {
    const Directory directory;
    const Variable named("GPCSUP_RUNTIME", "");
    const auto missing = cli::find_runtime({directory.path / "none", cli::Scope::automatic});
    REQUIRE_FALSE(missing);
    CHECK(gpcsup::control::exit_status(missing.error()) == 69);
    CHECK(missing.error().message().find((directory.path / "none/control").string()) != std::string::npos);
    CHECK(missing.error().message().find("gpc-init") != std::string::npos);
    const auto socket = listen_on(directory.path / "run");
    CHECK(cli::find_runtime({(directory.path / "run").string(), cli::Scope::automatic}) ==
          (directory.path / "run").string());
    const Variable now_named("GPCSUP_RUNTIME", (directory.path / "run").string());
    CHECK(cli::find_runtime({}) == (directory.path / "run").string());
}

TEST_CASE("with --user it looks into the user's own runtime directory, and trusts no stranger's") {
    const Directory directory;
    const Variable named("GPCSUP_RUNTIME", "");
    const Variable runtime("XDG_RUNTIME_DIR", directory.path);
    const auto socket = listen_on(directory.path / "gpcsup");
    ::chmod((directory.path / "gpcsup").c_str(), 0700);
    CHECK(cli::find_runtime({std::nullopt, cli::Scope::user}) == (directory.path / "gpcsup").string());
    ::chmod((directory.path / "gpcsup").c_str(), 0777);
    CHECK_FALSE(cli::find_runtime({std::nullopt, cli::Scope::user}));
    // Every service has the variable; --user does not use it.
    const Variable unused("GPCSUP_RUNTIME", (directory.path / "elsewhere").string());
    CHECK_FALSE(cli::find_runtime({std::nullopt, cli::Scope::user}));
    ::setenv("GPCSUP_RUNTIME", "", 1);
    CHECK_FALSE(cli::find_runtime({std::nullopt, cli::Scope::user}));
}

TEST_CASE("Unit directories are in the order of the interface") {
    const Directory directory;
    const Variable config("XDG_CONFIG_HOME", directory.path);
    CHECK(cli::unit_directories(cli::Scope::user) ==
          std::vector<std::string>{directory.path / "gpcsup/units"});
    CHECK(cli::unit_directories(cli::Scope::system).front() == "/etc/gpcsup/units");
    CHECK(cli::unit_directories(cli::Scope::system).size() == 4);
}

TEST_CASE("bash completes verbs, their second words, options and values") {
    CHECK(has_word(offered("gpcsup st", 1), "status"));
    CHECK_FALSE(has_word(offered("gpcsup st", 1), "list"));
    CHECK(has_word(offered("gpcsup group ''", 2), "create"));
    CHECK(has_word(offered("gpcsup kill --", 2), "--signal"));
    CHECK(has_word(offered("gpcsup kill --", 2), "--runtime"));
    CHECK(has_word(offered("gpcsup status --j", 2), "--json"));
    CHECK(has_word(offered("gpcsup help re", 2), "reboot"));
    CHECK(has_word(offered("gpcsup check /etc/pass", 2), "/etc/passwd"));
}

TEST_CASE("The manual's sections name every verb and leave no bare dash") {
    const std::string text = cli::manual_sections();
    for (const cli::Verb& verb : cli::verbs()) {
        std::string first(verb.words.substr(0, verb.words.find(' ')));
        for (std::size_t at = first.find('-'); at != std::string::npos; at = first.find('-', at + 2)) {
            first.insert(at, "\\");
        }
        CHECK(text.find("\\fB" + first) != std::string::npos);
    }
    for (std::size_t at = text.find('-'); at != std::string::npos; at = text.find('-', at + 1)) {
        REQUIRE(text[at - 1] == '\\');
    }
}
