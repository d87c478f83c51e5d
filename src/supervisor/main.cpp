// gpcsupd: started by gpc-init, or by hand with --check or --describe.

#include <fmt/format.h>

#include <cstdio>
#include <span>
#include <string_view>

#include "supervisor/supervisor.h"

namespace {

using namespace std::string_view_literals;
namespace supervisor = gpcsup::supervisor;

int usage() {
    fmt::print(
        stderr,
        "usage: gpcsupd --check [--json] FILE…   read unit files and gpcsup.toml, print what is wrong\n"
        "       gpcsupd --describe settings|attributes\n"
        "       gpcsupd --version\n"
        "Without arguments it is started by gpc-init.\n");
    return 64;
}

int check(std::span<char*> arguments) {
    std::vector<std::string> files;
    auto output = supervisor::CheckOutput::lines;
    for (const std::string_view argument : arguments) {
        if (argument == "--json"sv) {
            output = supervisor::CheckOutput::json;
        } else {
            files.emplace_back(argument);
        }
    }
    return files.empty() ? usage() : supervisor::check_files(files, output);
}

int describe(std::string_view what) {
    auto text = supervisor::Views::describe(what);
    if (!text) {
        return usage();
    }
    fmt::print("{}\n", *text);
    return 0;
}

int supervise() {
    auto here = supervisor::read_surroundings();
    if (!here) {
        fmt::print(stderr, "gpcsupd: {}\n", here.error().message());
        return 64;
    }
    auto created = supervisor::Supervisor::create(std::move(*here));
    if (!created) {
        fmt::print(stderr, "gpcsupd: {}\n", created.error().message());
        return 1;
    }
    if (auto booted = (*created)->boot(); !booted) {
        fmt::print(stderr, "gpcsupd: {}\n", booted.error().message());
        return (*created)->give_up();
    }
    return (*created)->run();
}

}  // namespace

int main(int argc, char** argv) {
    const std::span arguments(argv, static_cast<std::size_t>(argc));
    if (argc == 1) {
        return supervise();
    }
    const std::string_view verb(arguments[1]);
    if (verb == "--check"sv) {
        return check(arguments.subspan(2));
    }
    if (verb == "--describe"sv && argc == 3) {
        return describe(arguments[2]);
    }
    if (verb == "--version"sv) {
        fmt::print("gpcsupd {}\n", GPCSUP_VERSION);
        return 0;
    }
    return usage();
}
