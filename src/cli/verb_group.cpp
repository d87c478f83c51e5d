// group create, remove, rename; attach; set: what changes groups and who is in them.

#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "cli/handlers.h"
#include "cli/render_lists.h"
#include "cli/session.h"
#include "control/errors.h"

namespace gpcsup::cli {

namespace {

// CHANGE for each word, in order; the first failure ends it.
template <class Change>
base::Result<int> each_group(Session& session, Change change) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    for (const auto& group : session.words()) {
        if (auto done = change(**client, group); !done) {
            return base::pass(done);
        }
    }
    return 0;
}

// The removal succeeded, but something is charged to the group yet: who, and why.
void say_dying(const Session& session, const std::string& answer) {
    const auto what = parse_answer(answer);
    if (!what || text_of(*what, "state") != "dying" || session.quiet()) {
        return;
    }
    const std::string by = holders_text(object_of(*what, "held_by"));
    complain(text_of(*what, "group") + " is dying" + (by.empty() ? "" : ", held by " + by));
}

// The supervisor knows users by number only: names are looked up here.
base::Result<std::string> user_number(const std::string& value) {
    const bool is_number = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
    if (is_number || value == "none") {
        return value;
    }
    errno = 0;
    const passwd* user = ::getpwnam(value.c_str());
    return user != nullptr
               ? base::Result<std::string>(std::to_string(user->pw_uid))
               : base::refuse(ENOENT, "there is no user \"" + value + "\"", "a name, a number, or \"none\"");
}

bool is_group(const std::string& word) {
    return word.find(':') != std::string::npos;
}

// One exit code for all that was refused; "failed" when they differ. As without --json.
int exit_of_refused(const Json& answer) {
    std::optional<int> common;
    for (const Json& item : list_of(answer, "refused")) {
        const int code = static_cast<int>(number_of(item, "errno").value_or(EIO));
        const bool named = item.contains("pid") || item.contains("tid");
        const int meant = code == ESRCH && named ? ENOENT : code;
        const int status = control::exit_status({meant, {}, {}, {}});
        common = common.value_or(status) == status ? status : control::exit_failed;
    }
    return common.value_or(0);
}

struct Attach {
    control::Names what;
    control::Names groups;
    control::AttachScope scope;
};

base::Result<int> try_attach(Session& session, control::Client& client, const Attach& wanted) {
    const auto answer = client.try_attach(wanted.what, wanted.groups, wanted.scope);
    auto shown = show(session, answer, render_attached);
    if (!shown) {
        return shown;
    }
    const auto parsed = parse_answer(*answer);
    return parsed ? exit_of_refused(*parsed) : control::exit_failed;
}

}  // namespace

base::Result<int> do_group_create(Session& session) {
    const auto how =
        session.arguments().has("--parents") ? control::CreateHow::with_parents : control::CreateHow::only;
    return each_group(
        session, [=](control::Client& client, const auto& group) { return client.create_group(group, how); });
}

base::Result<int> do_group_remove(Session& session) {
    using control::RemoveHow;
    auto how = RemoveHow::plain;
    for (const auto& [option, flag] :
         {std::pair("--kill", RemoveHow::kill), std::pair("--recursive", RemoveHow::recursive),
          std::pair("--wait", RemoveHow::wait)}) {
        how = session.arguments().has(option) ? how | flag : how;
    }
    base::Duration patience{};
    if (const auto text = session.arguments().value("--wait"); text && !text->empty()) {
        auto duration = base::parse_duration(*text);
        if (!duration) {
            return base::pass(duration);
        }
        if (duration->count() <= 0) {
            return base::refuse(EINVAL, "--wait needs a time longer than nothing");
        }
        patience = *duration;
    }
    const auto timeout = std::chrono::ceil<std::chrono::microseconds>(patience);
    return each_group(session, [&](control::Client& client, const auto& group) -> base::Result<> {
        auto answer = client.remove_group(group, how, timeout);
        if (!answer) {
            return base::pass(answer);
        }
        say_dying(session, *answer);
        return {};
    });
}

base::Result<int> do_group_rename(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    // NEW may be written as the whole path; then it has to be in the same place.
    const std::string& group = session.words()[0];
    std::string name = session.words()[1];
    const std::string parent = group.substr(0, group.rfind('/') + 1);
    if (name.starts_with(parent)) {
        name.erase(0, parent.size());
    }
    if (name.find('/') != std::string::npos) {
        return base::refuse(EINVAL,
                            "a group is renamed in its place: " + name + " is somewhere else than " + group);
    }
    auto done = (*client)->rename_group(group, name);
    return done ? base::Result<int>(0) : base::pass(done);
}

base::Result<int> do_attach(Session& session) {
    const bool thread = session.arguments().has("--thread");
    const bool tree = session.arguments().has("--tree");
    if (thread && tree) {
        return base::refuse(EINVAL, "--thread and --tree exclude each other");
    }
    control::Names what;
    control::Names groups;
    for (const auto& word : session.words()) {
        (is_group(word) ? groups : what).push_back(word);
    }
    if (what.empty() || groups.empty()) {
        return base::refuse(
            EINVAL,
            what.empty() ? "no process or unit is named" : "no group is named: HIERARCHY:PATH is missing",
            "usage: gpcsup " + synopsis(*session.arguments().verb));
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    const auto scope = thread ? control::AttachScope::thread
                       : tree ? control::AttachScope::tree
                              : control::AttachScope::process;
    if (session.wants_json()) {
        return try_attach(session, **client, {what, groups, scope});
    }
    const auto answer = (*client)->attach(what, groups, scope);
    return answer && session.quiet() ? base::Result<int>(0) : show(session, answer, render_attached);
}

base::Result<int> do_set(Session& session) {
    control::Assignments settings;
    for (std::size_t i = 1; i < session.words().size(); ++i) {
        const std::string& word = session.words()[i];
        const std::size_t equals = word.find('=');
        if (equals == std::string::npos || equals == 0) {
            return base::refuse(EINVAL, "\"" + word + "\" is not ATTRIBUTE=VALUE",
                                "for example: numtasks.limit=64");
        }
        std::string value = word.substr(equals + 1);
        if (word.substr(0, equals) == "group.owner") {
            auto number = user_number(value);
            if (!number) {
                return base::pass(number);
            }
            value = *number;
        }
        settings.emplace_back(word.substr(0, equals), std::move(value));
    }
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    if (auto done = (*client)->set(session.words()[0], settings); !done) {
        return base::pass(done);
    }
    if (!session.quiet()) {
        print_line("set until the next boot; write it into gpcsup.toml to keep it");
    }
    return 0;
}

}  // namespace gpcsup::cli
