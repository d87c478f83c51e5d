// check: gpcsupd reads the files as it would at boot; this only finds it.

#include <unistd.h>

#include <cerrno>

#include "cli/handlers.h"
#include "cli/session.h"
#include "wire/names.h"

namespace gpcsup::cli {

base::Result<int> do_check(Session& session) {
    auto program = find_program(wire::supervisor_program);
    if (!program) {
        return base::pass(program);
    }
    std::vector<std::string> words{*program, "--check"};
    if (session.wants_json()) {
        words.emplace_back("--json");
    }
    words.insert(words.end(), session.words().begin(), session.words().end());
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (auto& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    ::execv(program->c_str(), arguments.data());
    return base::fail(errno, "execute", *program);
}

}  // namespace gpcsup::cli
