#include "control/client.h"

#include <sys/random.h>
#include <systemd/sd-bus.h>

#include <cerrno>
#include <csignal>

namespace gpcsup::control {

namespace {

constexpr std::chrono::seconds answer_patience{30};

constexpr std::array job_methods{"Start", "Stop", "Restart", "Reload"};
constexpr std::array details{"plain", "settings"};
constexpr std::array whoms{"all", "main"};
constexpr std::array conditions{"empty", "populated", "frozen", "thawed"};
constexpr std::array scopes{"process", "thread", "tree"};
constexpr std::array create_hows{"", "parents"};
constexpr std::array shutdown_hows{"poweroff", "reboot", "halt", "exit"};
constexpr std::array apply_hows{"plan", "apply"};
constexpr std::array describe_whats{"settings", "attributes"};

template <class Enum, std::size_t N>
const char* word(const std::array<const char*, N>& table, Enum value) {
    return table[static_cast<std::size_t>(value)];
}

int append_names(sd_bus_message* message, const Names& names) {
    int r = sd_bus_message_open_container(message, 'a', "s");
    for (const auto& name : names) {
        r = r < 0 ? r : sd_bus_message_append_basic(message, 's', name.c_str());
    }
    return r < 0 ? r : sd_bus_message_close_container(message);
}

using Arguments = std::function<int(sd_bus_message*)>;

Request query(const char* method, Arguments arguments) {
    return {.method = method, .arguments = std::move(arguments), .patience = answer_patience};
}

Request query(const char* method, const std::string& text) {
    return query(method, [text](sd_bus_message* m) { return sd_bus_message_append(m, "s", text.c_str()); });
}

std::uint64_t fresh_token() {
    std::uint64_t token = 0;
    while (token == 0) {
        if (::getrandom(&token, sizeof token, 0) != sizeof token) {
            token = 0;
        }
    }
    return token;
}

template <class... Out>
base::Result<> read(const Answer& reply, const char* method, const char* types, Out... out) {
    const int r = sd_bus_message_read(reply.message.get(), types, out...);
    if (r < 0) {
        return base::refuse(EPROTO,
                            std::string("the supervisor's answer to ") + method + " is not what was expected",
                            "gpcsup and gpcsupd may be of different versions");
    }
    return {};
}

}  // namespace

base::Result<Json> Client::ask(const Request& request) {
    auto reply = connection_.exchange(request);
    if (!reply) {
        return base::pass(reply);
    }
    const char* text = nullptr;
    if (auto good = read(*reply, request.method, "s", &text); !good) {
        return base::pass(good);
    }
    return Json(text);
}

base::Result<> Client::tell(const Request& request) {
    auto reply = connection_.exchange(request);
    if (!reply) {
        return base::pass(reply);
    }
    return {};
}

base::Result<Hello> Client::hello() {
    auto reply = connection_.exchange(query("Hello", Arguments{}));
    if (!reply) {
        return base::pass(reply);
    }
    const char* version = nullptr;
    const char* mode = nullptr;
    Hello hello;
    if (auto good = read(*reply, "Hello", "suus", &version, &hello.pid, &hello.init_pid, &mode); !good) {
        return base::pass(good);
    }
    hello.version = version;
    hello.mode = mode;
    return hello;
}

base::Result<Json> Client::status(const Names& units, Detail detail) {
    return ask(query("Status", [&](sd_bus_message* m) {
        const int r = append_names(m, units);
        return r < 0 ? r : sd_bus_message_append(m, "s", word(details, detail));
    }));
}

base::Result<Json> Client::list() {
    return ask(query("List", Arguments{}));
}

base::Result<Json> Client::tree(const std::string& hierarchy) {
    return ask(query("Tree", hierarchy));
}

base::Result<Json> Client::processes(const std::string& what) {
    return ask(query("Processes", what));
}

base::Result<Json> Client::get(const std::string& group, const std::string& attribute) {
    return ask(query("Get", [&](sd_bus_message* m) {
        return sd_bus_message_append(m, "ss", group.c_str(), attribute.c_str());
    }));
}

base::Result<> Client::set(const std::string& group, const Assignments& settings) {
    return tell(query("Set", [&](sd_bus_message* m) {
        int r = sd_bus_message_append(m, "s", group.c_str());
        r = r < 0 ? r : sd_bus_message_open_container(m, 'a', "(ss)");
        for (const auto& [attribute, value] : settings) {
            r = r < 0 ? r : sd_bus_message_append(m, "(ss)", attribute.c_str(), value.c_str());
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
    }));
}

base::Result<Json> Client::hierarchies() {
    return ask(query("Hierarchies", Arguments{}));
}

base::Result<Json> Client::groups(const std::string& prefix) {
    return ask(query("Groups", prefix));
}

base::Result<JobId> Client::order(JobVerb verb, const Names& units) {
    const std::uint64_t token = fresh_token();
    const char* method = word(job_methods, verb);
    auto reply = connection_.exchange(query(method, [&](sd_bus_message* m) {
        const int r = append_names(m, units);
        return r < 0 ? r : sd_bus_message_append(m, "t", token);
    }));
    if (!reply) {
        return base::pass(reply);
    }
    std::uint64_t job = 0;
    if (auto good = read(*reply, method, "t", &job); !good) {
        return base::pass(good);
    }
    return JobId(job);
}

base::Result<Json> Client::wait(JobId job, std::chrono::microseconds timeout, Companion* companion) {
    return ask({.method = "Wait",
                .arguments =
                    [=](sd_bus_message* m) {
                        return sd_bus_message_append(m, "tt", job.value,
                                                     static_cast<std::uint64_t>(timeout.count()));
                    },
                .companion = companion});
}

// A signal sent twice is two signals, unless it is one that can have an effect only once.
base::Result<std::uint32_t> Client::kill(const std::string& what, int signal, Whom whom) {
    const bool once_is_enough = signal == SIGKILL || signal == SIGSTOP || signal == SIGCONT;
    Request request = query("Kill", [&](sd_bus_message* m) {
        return sd_bus_message_append(m, "sis", what.c_str(), signal, word(whoms, whom));
    });
    request.repeat = once_is_enough ? Repeat::yes : Repeat::never;
    request.patience = signal == SIGKILL ? std::chrono::nanoseconds(0) : request.patience;
    auto reply = connection_.exchange(request);
    if (!reply) {
        return base::pass(reply);
    }
    std::uint32_t count = 0;
    if (auto good = read(*reply, "Kill", "u", &count); !good) {
        return base::pass(good);
    }
    return count;
}

base::Result<Json> Client::wait_killed(const std::string& what) {
    Request request = query("WaitKilled", what);
    request.patience = {};  // gpcsupd has a patience of its own
    return ask(request);
}

base::Result<Json> Client::freeze(const std::string& what) {
    Request request = query("Freeze", what);
    request.patience = {};
    return ask(request);
}

base::Result<Json> Client::thaw(const std::string& what) {
    return ask(query("Thaw", what));
}

base::Result<Json> Client::wait_group(const std::string& what, GroupCondition condition,
                                      std::chrono::microseconds timeout) {
    Request request = query("WaitGroup", [&](sd_bus_message* m) {
        return sd_bus_message_append(m, "sst", what.c_str(), word(conditions, condition),
                                     static_cast<std::uint64_t>(timeout.count()));
    });
    request.patience = {};
    return ask(request);
}

base::Result<Json> Client::attach(const Names& what, const Names& into, AttachScope scope) {
    return attach_by("Attach", what, into, scope);
}

base::Result<Json> Client::try_attach(const Names& what, const Names& into, AttachScope scope) {
    return attach_by("TryAttach", what, into, scope);
}

base::Result<Json> Client::attach_by(const char* method, const Names& what, const Names& into,
                                     AttachScope scope) {
    return ask(query(method, [&](sd_bus_message* m) {
        int r = append_names(m, what);
        r = r < 0 ? r : append_names(m, into);
        return r < 0 ? r : sd_bus_message_append(m, "s", word(scopes, scope));
    }));
}

// A change of a group is sent again only when it is not to be seen yet: the first may have been carried out.
base::Result<> Client::change_group(Request request, const std::string& group, Present wanted) {
    request.repeat = Repeat::never;
    for (;;) {
        auto done = tell(request);
        if (done || done.error().code != EPIPE) {
            return done;
        }
        auto found = presence(group);
        if (!found) {
            return base::pass(found);
        }
        if (*found == wanted) {
            return {};
        }
    }
}

base::Result<Client::Present> Client::presence(const std::string& group) {
    const auto found = groups(group);
    if (!found && found.error().code != ENOENT) {
        return std::unexpected(found.error());
    }
    return found ? Present::yes : Present::no;
}

base::Result<> Client::create_hierarchy(const std::string& name, const Names& controllers,
                                        const std::string& compat) {
    const char* const method = compat.empty() ? "CreateHierarchy" : "CreateCompatHierarchy";
    return tell(query(method, [&](sd_bus_message* m) {  // the same once more is the same
        int r = sd_bus_message_append(m, "s", name.c_str());
        if (r >= 0) {
            r = append_names(m, controllers);
        }
        return r < 0 || compat.empty() ? r : sd_bus_message_append(m, "s", compat.c_str());
    }));
}

base::Result<> Client::rebind_hierarchy(const std::string& name, const Names& controllers) {
    return tell(query("RebindHierarchy", [&](sd_bus_message* m) {
        const int r = sd_bus_message_append(m, "s", name.c_str());
        return r < 0 ? r : append_names(m, controllers);
    }));
}

// Where it is not there the second time, the first call removed it.
base::Result<> Client::remove_hierarchy(const std::string& name) {
    Request request = query("RemoveHierarchy", name);
    request.repeat = Repeat::never;
    auto done = tell(request);
    if (done || done.error().code != EPIPE) {
        return done;
    }
    done = tell(query("RemoveHierarchy", name));
    return done || done.error().code != ENOENT ? done : base::Result<>();
}

base::Result<> Client::create_group(const std::string& group, CreateHow how) {
    Request request = query("CreateGroup", [&](sd_bus_message* m) {
        return sd_bus_message_append(m, "ss", group.c_str(), word(create_hows, how));
    });
    return change_group(std::move(request), group, Present::yes);
}

// Killing and waiting take as long as they take. A supervisor that is replaced meanwhile has forgotten the
// wait: it is asked again for what is left of the time.
base::Result<Json> Client::remove_group(const std::string& group, RemoveHow how,
                                        std::chrono::microseconds timeout) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + timeout;
    std::string words;
    for (const auto& [flag, word] :
         {std::pair(RemoveHow::kill, "kill"), std::pair(RemoveHow::recursive, "recursive"),
          std::pair(RemoveHow::wait, "wait")}) {
        if ((static_cast<unsigned>(how) & static_cast<unsigned>(flag)) != 0) {
            words += (words.empty() ? "" : " ") + std::string(word);
        }
    }
    for (;;) {
        const auto left = timeout.count() == 0
                              ? timeout
                              : std::max(std::chrono::ceil<std::chrono::microseconds>(end - Clock::now()),
                                         std::chrono::microseconds(1));
        Request request = query("RemoveGroup", [&](sd_bus_message* m) {
            return sd_bus_message_append(m, "sst", group.c_str(), words.c_str(),
                                         static_cast<std::uint64_t>(left.count()));
        });
        request.repeat = Repeat::never;
        request.patience = {};
        auto done = ask(request);
        if (done || done.error().code != EPIPE) {
            return done;
        }
        auto found = presence(group);
        if (!found) {
            return base::pass(found);
        }
        if (*found == Present::no) {
            return Json("{}");
        }
    }
}

base::Result<> Client::rename_group(const std::string& group, const std::string& new_name) {
    Request request = query("RenameGroup", [&](sd_bus_message* m) {
        return sd_bus_message_append(m, "ss", group.c_str(), new_name.c_str());
    });
    return change_group(std::move(request), group, Present::no);
}

base::Result<Running> Client::run(const RunRequest& request) {
    // The token goes in front of what is there: the text is one JSON object.
    const std::string text = "{\"token\":" + std::to_string(fresh_token()) + "," + request.request.substr(1);
    Request call = query("Run", [&](sd_bus_message* m) {
        int r = sd_bus_message_append(m, "s", text.c_str());
        r = r < 0 ? r : sd_bus_message_open_container(m, 'a', "h");
        for (const int fd : request.descriptors) {
            r = r < 0 ? r : sd_bus_message_append(m, "h", fd);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
    });
    call.carries = Carries::descriptors;
    auto reply = connection_.exchange(call);
    if (!reply) {
        return base::pass(reply);
    }
    const char* unit = nullptr;
    std::uint64_t job = 0;
    if (auto good = read(*reply, "Run", "st", &unit, &job); !good) {
        return base::pass(good);
    }
    return Running{unit, JobId(job)};
}

base::Result<Events> Client::events(std::uint64_t since, std::uint32_t most) {
    auto reply = connection_.exchange(
        query("Events", [=](sd_bus_message* m) { return sd_bus_message_append(m, "tu", since, most); }));
    if (!reply) {
        return base::pass(reply);
    }
    const char* lines = nullptr;
    Events events;
    if (auto good = read(*reply, "Events", "st", &lines, &events.next); !good) {
        return base::pass(good);
    }
    events.lines = lines;
    return events;
}

base::Result<> Client::subscribe() {
    return tell(query("Subscribe", Arguments{}));
}

base::Result<Json> Client::why(const std::string& what) {
    return ask(query("Why", what));
}

base::Result<std::string> Client::snapshot() {
    return ask(query("Snapshot", Arguments{}));
}

// Asked again after a replacement: what the predecessor had begun its successor has completed, and nothing is
// left to do.
base::Result<Json> Client::apply(ApplyHow how) {
    const std::string text = word(apply_hows, how);
    return ask(query("Apply", text));
}

base::Result<> Client::shutdown(ShutdownHow how) {
    const std::string text = word(shutdown_hows, how);
    return tell(query("Shutdown", text));
}

// The connection may break before the answer: then it is what was asked for that broke it.
base::Result<> Client::reexec() {
    Request request = query("Reexec", Arguments{});
    request.repeat = Repeat::never;
    auto done = tell(request);
    if (!done && done.error().code == EPIPE) {
        return {};
    }
    return done;
}

base::Result<Json> Client::describe(DescribeWhat what) {
    const std::string text = word(describe_whats, what);
    return ask(query("Describe", text));
}

}  // namespace gpcsup::control
