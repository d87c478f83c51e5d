#include "control/object_manager.h"

#include <fcntl.h>

#include "control/error_names.h"

namespace gpcsup::control {

int report(sd_bus_error* out, const base::Error& error) {
    return sd_bus_error_set(out, std::string(error_name(error.code).name).c_str(), error.message().c_str());
}

namespace {

Session& session_of(void* data) {
    return *static_cast<Session*>(data);
}

int answer(Session& session, sd_bus_message* call, const base::Result<std::string>& json,
           sd_bus_error* error) {
    if (!json) {
        return report(error, json.error());
    }
    session.outbox.add(json->size());
    return sd_bus_reply_method_return(call, "s", json->c_str());
}

int answer(sd_bus_message* call, const base::Result<>& done, sd_bus_error* error) {
    if (!done) {
        return report(error, done.error());
    }
    return sd_bus_reply_method_return(call, "");
}

int read_names(sd_bus_message* call, std::vector<std::string>& names) {
    int status = sd_bus_message_enter_container(call, 'a', "s");
    const char* name = nullptr;
    while (status >= 0 && (status = sd_bus_message_read(call, "s", &name)) > 0) {
        names.emplace_back(name);
    }
    return status < 0 ? status : sd_bus_message_exit_container(call);
}

int hello(sd_bus_message* call, void* data, sd_bus_error*) {
    Session& session = session_of(data);
    const auto [supervisor, init] = session.handler.pids();
    return sd_bus_reply_method_return(call, "suus", session.handler.identity().c_str(), supervisor, init,
                                      session.handler.mode().c_str());
}

int status(sd_bus_message* call, void* data, sd_bus_error* error) {
    std::vector<std::string> units;
    const char* detail = "";
    if (int code = read_names(call, units); code < 0) {
        return code;
    }
    if (int code = sd_bus_message_read(call, "s", &detail); code < 0) {
        return code;
    }
    return answer(session_of(data), call,
                  session_of(data).handler.status(session_of(data).caller, units, detail), error);
}

int list(sd_bus_message* call, void* data, sd_bus_error* error) {
    return answer(session_of(data), call,
                  session_of(data).handler.status(session_of(data).caller, {}, "list"), error);
}

// A method with one text as its argument that answers JSON.
template <class Call>
int text_query(Session& session, sd_bus_message* call, sd_bus_error* error, Call&& ask) {
    const char* text = "";
    if (int code = sd_bus_message_read(call, "s", &text); code < 0) {
        return code;
    }
    return answer(session, call, ask(std::string_view(text)), error);
}

int tree(sd_bus_message* call, void* data, sd_bus_error* error) {
    Session& session = session_of(data);
    return text_query(session, call, error,
                      [&](auto text) { return session.handler.tree(session.caller, text); });
}

int processes(sd_bus_message* call, void* data, sd_bus_error* error) {
    Session& session = session_of(data);
    return text_query(session, call, error,
                      [&](auto text) { return session.handler.processes(session.caller, text); });
}

int groups(sd_bus_message* call, void* data, sd_bus_error* error) {
    return text_query(session_of(data), call, error,
                      [&](auto text) { return session_of(data).handler.groups(text); });
}

int why(sd_bus_message* call, void* data, sd_bus_error* error) {
    Session& session = session_of(data);
    return text_query(session, call, error,
                      [&](auto text) { return session.handler.why(session.caller, text); });
}

int describe(sd_bus_message* call, void* data, sd_bus_error* error) {
    return text_query(session_of(data), call, error,
                      [&](auto text) { return session_of(data).handler.describe(text); });
}

int snapshot(sd_bus_message* call, void* data, sd_bus_error* error) {
    return answer(session_of(data), call, session_of(data).handler.snapshot(), error);
}

int apply(sd_bus_message* call, void* data, sd_bus_error* error) {
    Session& session = session_of(data);
    return text_query(session, call, error,
                      [&](auto how) { return session.handler.apply(session.caller, how); });
}

int hierarchies(sd_bus_message* call, void* data, sd_bus_error* error) {
    return answer(session_of(data), call, session_of(data).handler.hierarchies(), error);
}

int get(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* group = "";
    const char* attribute = "";
    if (int code = sd_bus_message_read(call, "ss", &group, &attribute); code < 0) {
        return code;
    }
    return answer(session_of(data), call, session_of(data).handler.get(group, attribute), error);
}

int set(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* group = "";
    int code = sd_bus_message_read(call, "s", &group);
    if (code >= 0) {
        code = sd_bus_message_enter_container(call, 'a', "(ss)");
    }
    std::vector<std::pair<std::string, std::string>> settings;
    const char* attribute = nullptr;
    const char* value = nullptr;
    while (code >= 0 && (code = sd_bus_message_read(call, "(ss)", &attribute, &value)) > 0) {
        settings.emplace_back(attribute, value);
    }
    if (code < 0) {
        return code;
    }
    return answer(call, session_of(data).handler.set(session_of(data).caller, group, settings), error);
}

template <JobKind kind>
int job(sd_bus_message* call, void* data, sd_bus_error* error) {
    std::vector<std::string> units;
    std::uint64_t token = 0;
    if (int code = read_names(call, units); code < 0) {
        return code;
    }
    if (int code = sd_bus_message_read(call, "t", &token); code < 0) {
        return code;
    }
    auto number = session_of(data).handler.job(session_of(data).caller, kind, units, token);
    if (!number) {
        return report(error, number.error());
    }
    return sd_bus_reply_method_return(call, "t", *number);
}

// The JSON comes later: the call is kept until then. Who drops it has answered it: nobody waits for ever.
class KeptCall {
  public:
    explicit KeptCall(sd_bus_message* call) : call_(sd_bus_message_ref(call)) {}
    KeptCall(const KeptCall&) = delete;
    KeptCall& operator=(const KeptCall&) = delete;
    ~KeptCall() { end(base::refuse(ECANCELED, "the supervisor has given this call up")); }

    void end(const base::Result<std::string>& json) {
        sd_bus_message* call = std::exchange(call_, nullptr);
        if (call == nullptr) {
            return;
        }
        if (json) {
            sd_bus_reply_method_return(call, "s", json->c_str());
        } else {
            sd_bus_error failure = SD_BUS_ERROR_NULL;
            report(&failure, json.error());
            sd_bus_reply_method_error(call, &failure);
            sd_bus_error_free(&failure);
        }
        sd_bus_message_unref(call);
    }

  private:
    sd_bus_message* call_;
};

Reply later(sd_bus_message* call) {
    return Reply([kept = std::make_shared<KeptCall>(call)](const auto& json) { kept->end(json); });
}

int wait(sd_bus_message* call, void* data, sd_bus_error*) {
    std::uint64_t number = 0;
    std::uint64_t timeout = 0;
    if (int code = sd_bus_message_read(call, "tt", &number, &timeout); code < 0) {
        return code;
    }
    session_of(data).handler.wait(session_of(data).caller, number, timeout, later(call));
    return 1;
}

int wait_group(sd_bus_message* call, void* data, sd_bus_error*) {
    const char* what = "";
    const char* condition = "";
    std::uint64_t timeout = 0;
    if (int code = sd_bus_message_read(call, "sst", &what, &condition, &timeout); code < 0) {
        return code;
    }
    session_of(data).handler.wait_group(session_of(data).caller, what, condition, timeout, later(call));
    return 1;
}

using LaterCall = void (Handler::*)(const Caller&, std::string_view, Reply);

template <LaterCall function>
int later_call(sd_bus_message* call, void* data, sd_bus_error*) {
    const char* what = "";
    if (int code = sd_bus_message_read(call, "s", &what); code < 0) {
        return code;
    }
    (session_of(data).handler.*function)(session_of(data).caller, what, later(call));
    return 1;
}

int thaw(sd_bus_message* call, void* data, sd_bus_error* error) {
    Session& session = session_of(data);
    return text_query(session, call, error,
                      [&](auto text) { return session.handler.thaw(session.caller, text); });
}

int kill(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* what = "";
    const char* whom = "";
    int signal = 0;
    if (int code = sd_bus_message_read(call, "sis", &what, &signal, &whom); code < 0) {
        return code;
    }
    auto count = session_of(data).handler.kill(session_of(data).caller, what, signal, whom);
    if (!count) {
        return report(error, count.error());
    }
    return sd_bus_reply_method_return(call, "u", *count);
}

template <Refused refused>
int attach(sd_bus_message* call, void* data, sd_bus_error* error) {
    std::vector<std::string> what;
    std::vector<std::string> groups;
    const char* scope = "";
    int code = read_names(call, what);
    if (code >= 0) {
        code = read_names(call, groups);
    }
    if (code >= 0) {
        code = sd_bus_message_read(call, "s", &scope);
    }
    if (code < 0) {
        return code;
    }
    Session& session = session_of(data);
    return answer(session, call, session.handler.attach(session.caller, what, groups, scope, refused), error);
}

using GroupCall = base::Result<> (Handler::*)(const Caller&, std::string_view, std::string_view);

template <GroupCall function>
int group_call(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* group = "";
    const char* how = "";
    if (int code = sd_bus_message_read(call, "ss", &group, &how); code < 0) {
        return code;
    }
    return answer(call, (session_of(data).handler.*function)(session_of(data).caller, group, how), error);
}

int remove_group(sd_bus_message* call, void* data, sd_bus_error*) {
    const char* group = "";
    const char* how = "";
    std::uint64_t timeout = 0;
    if (int code = sd_bus_message_read(call, "sst", &group, &how, &timeout); code < 0) {
        return code;
    }
    session_of(data).handler.remove_group(session_of(data).caller, group, how, timeout, later(call));
    return 1;
}

// Without a compat: today's rules.
enum class Rules : std::uint8_t { of_today, named };
template <Rules rules>
int create_hierarchy(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* name = "";
    const char* compat = "";
    std::vector<std::string> controllers;
    int code = sd_bus_message_read(call, "s", &name);
    if (code >= 0) {
        code = read_names(call, controllers);
    }
    if (code >= 0 && rules == Rules::named) {
        code = sd_bus_message_read(call, "s", &compat);
    }
    if (code < 0) {
        return code;
    }
    return answer(
        call, session_of(data).handler.create_hierarchy(session_of(data).caller, name, controllers, compat),
        error);
}

int rebind_hierarchy(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* name = "";
    std::vector<std::string> controllers;
    int code = sd_bus_message_read(call, "s", &name);
    if (code >= 0) {
        code = read_names(call, controllers);
    }
    if (code < 0) {
        return code;
    }
    return answer(call, session_of(data).handler.rebind_hierarchy(session_of(data).caller, name, controllers),
                  error);
}

int remove_hierarchy(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* name = "";
    if (int code = sd_bus_message_read(call, "s", &name); code < 0) {
        return code;
    }
    return answer(call, session_of(data).handler.remove_hierarchy(session_of(data).caller, name), error);
}

int run(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* request = "";
    int code = sd_bus_message_read(call, "s", &request);
    if (code >= 0) {
        code = sd_bus_message_enter_container(call, 'a', "h");
    }
    std::vector<base::Fd> descriptors;
    int descriptor = -1;
    while (code >= 0 && (code = sd_bus_message_read(call, "h", &descriptor)) > 0) {
        descriptors.emplace_back(fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
    }
    if (code < 0) {
        return code;
    }
    if (descriptors.size() != 3 || !descriptors[0] || !descriptors[1] || !descriptors[2]) {
        return report(error,
                      {EINVAL, "Run takes three descriptors: standard input, output and error", {}, {}});
    }
    auto unit = session_of(data).handler.run(
        session_of(data).caller, request,
        {std::move(descriptors[0]), std::move(descriptors[1]), std::move(descriptors[2])});
    if (!unit) {
        return report(error, unit.error());
    }
    return sd_bus_reply_method_return(call, "st", unit->first.c_str(), unit->second);
}

int events(sd_bus_message* call, void* data, sd_bus_error* error) {
    std::uint64_t since = 0;
    std::uint32_t most = 0;
    if (int code = sd_bus_message_read(call, "tu", &since, &most); code < 0) {
        return code;
    }
    auto lines = session_of(data).handler.events(since, most);
    if (!lines) {
        return report(error, lines.error());
    }
    session_of(data).outbox.add(lines->first.size());
    return sd_bus_reply_method_return(call, "st", lines->first.c_str(), lines->second);
}

int subscribe(sd_bus_message* call, void* data, sd_bus_error*) {
    session_of(data).subscribe();
    return sd_bus_reply_method_return(call, "");
}

int shutdown(sd_bus_message* call, void* data, sd_bus_error* error) {
    const char* how = "";
    if (int code = sd_bus_message_read(call, "s", &how); code < 0) {
        return code;
    }
    return answer(call, session_of(data).handler.shutdown(session_of(data).caller, how), error);
}

int reexec(sd_bus_message* call, void* data, sd_bus_error* error) {
    return answer(call, session_of(data).handler.reexec(session_of(data).caller), error);
}

// Rights are the handler's to judge, from the caller's credentials: for sd-bus every method is open.
#define GPCSUP_METHOD(name, in, out, function) \
    SD_BUS_METHOD(name, in, out, function, SD_BUS_VTABLE_UNPRIVILEGED)

const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    GPCSUP_METHOD("Hello", "", "suus", hello),
    GPCSUP_METHOD("Status", "ass", "s", status),
    GPCSUP_METHOD("List", "", "s", list),
    GPCSUP_METHOD("Tree", "s", "s", tree),
    GPCSUP_METHOD("Processes", "s", "s", processes),
    GPCSUP_METHOD("Get", "ss", "s", get),
    GPCSUP_METHOD("Set", "sa(ss)", "", set),
    GPCSUP_METHOD("Hierarchies", "", "s", hierarchies),
    GPCSUP_METHOD("Groups", "s", "s", groups),
    GPCSUP_METHOD("Start", "ast", "t", job<JobKind::start>),
    GPCSUP_METHOD("Stop", "ast", "t", job<JobKind::stop>),
    GPCSUP_METHOD("Restart", "ast", "t", job<JobKind::restart>),
    GPCSUP_METHOD("Reload", "ast", "t", job<JobKind::reload>),
    GPCSUP_METHOD("Wait", "tt", "s", wait),
    GPCSUP_METHOD("Kill", "sis", "u", kill),
    GPCSUP_METHOD("WaitKilled", "s", "s", later_call<&Handler::wait_killed>),
    GPCSUP_METHOD("Freeze", "s", "s", later_call<&Handler::freeze>),
    GPCSUP_METHOD("Thaw", "s", "s", thaw),
    GPCSUP_METHOD("WaitGroup", "sst", "s", wait_group),
    GPCSUP_METHOD("Attach", "asass", "s", attach<Refused::error>),
    GPCSUP_METHOD("TryAttach", "asass", "s", attach<Refused::listed>),
    GPCSUP_METHOD("CreateHierarchy", "sas", "", create_hierarchy<Rules::of_today>),
    GPCSUP_METHOD("CreateCompatHierarchy", "sass", "", create_hierarchy<Rules::named>),
    GPCSUP_METHOD("RemoveHierarchy", "s", "", remove_hierarchy),
    GPCSUP_METHOD("RebindHierarchy", "sas", "", rebind_hierarchy),
    GPCSUP_METHOD("CreateGroup", "ss", "", group_call<&Handler::create_group>),
    GPCSUP_METHOD("RemoveGroup", "sst", "s", remove_group),
    GPCSUP_METHOD("RenameGroup", "ss", "", group_call<&Handler::rename_group>),
    GPCSUP_METHOD("Run", "sah", "st", run),
    GPCSUP_METHOD("Events", "tu", "st", events),
    GPCSUP_METHOD("Subscribe", "", "", subscribe),
    GPCSUP_METHOD("Why", "s", "s", why),
    GPCSUP_METHOD("Snapshot", "", "s", snapshot),
    GPCSUP_METHOD("Apply", "s", "s", apply),
    GPCSUP_METHOD("Shutdown", "s", "", shutdown),
    GPCSUP_METHOD("Reexec", "", "", reexec),
    GPCSUP_METHOD("Describe", "s", "s", describe),
    SD_BUS_SIGNAL("Event", "s", 0),
    SD_BUS_VTABLE_END,
};

}  // namespace

const sd_bus_vtable* manager_vtable() {
    return vtable;
}

}  // namespace gpcsup::control
