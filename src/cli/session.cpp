#include "cli/session.h"

#include <unistd.h>

#include <cerrno>

namespace gpcsup::cli {

namespace {

ColourWish colour_wish(const Arguments& arguments) {
    return arguments.has("--no-color") ? ColourWish::never : ColourWish::automatic;
}

void write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(descriptor, text.data(), text.size());
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            ::_exit(1);  // a full disk behind standard output: nothing left to say it to
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
}

}  // namespace

Session::Session(Arguments arguments)
    : arguments_(std::move(arguments)), look_(look_of(STDOUT_FILENO, colour_wish(arguments_))) {}

Look Session::error_look() const {
    return look_of(STDERR_FILENO, colour_wish(arguments_));
}

Where Session::where() const {
    Where where;
    where.runtime = arguments_.value("--runtime");
    where.scope = arguments_.has("--user")     ? Scope::user
                  : arguments_.has("--system") ? Scope::system
                                               : Scope::automatic;
    return where;
}

base::Result<control::Client*> Session::client() {
    if (client_ != nullptr) {
        return client_.get();
    }
    auto runtime = find_runtime(where());
    if (!runtime) {
        return base::pass(runtime);
    }
    auto client = std::make_unique<control::Client>(*runtime);
    if (auto opened = client->open(); !opened) {
        return base::pass(opened);
    }
    client_ = std::move(client);
    return client_.get();
}

base::Result<std::optional<base::Duration>> Session::timeout() const {
    const auto text = arguments_.value("--timeout");
    if (!text) {
        return std::nullopt;
    }
    auto duration = base::parse_duration(*text);
    if (!duration) {
        return base::pass(duration);
    }
    if (duration->count() <= 0) {
        return base::refuse(EINVAL, "--timeout needs a time longer than nothing");
    }
    return std::optional(*duration);
}

void print(std::string_view text) {
    write_all(STDOUT_FILENO, text);
}

void print_error(std::string_view text) {
    write_all(STDERR_FILENO, text);
}

void print_line(std::string_view text) {
    write_all(STDOUT_FILENO, std::string(text) + "\n");
}

void complain(std::string_view text) {
    write_all(STDERR_FILENO, "gpcsup: " + std::string(text) + "\n");
}

base::Result<int> show(Session& session, const base::Result<std::string>& answer, Render render) {
    if (!answer) {
        return std::unexpected(answer.error());
    }
    if (session.wants_json()) {
        print(answer->ends_with('\n') ? *answer : *answer + "\n");
        return 0;
    }
    auto parsed = parse_answer(*answer);
    if (!parsed) {
        return base::pass(parsed);
    }
    print(render(*parsed, session.look()));
    return 0;
}

}  // namespace gpcsup::cli
