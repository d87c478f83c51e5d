// beancounters: what /proc/user_beancounters showed, from the attributes of numfiles and numtasks.

#include <algorithm>
#include <cerrno>

#include "cli/handlers.h"
#include "cli/render_lists.h"
#include "cli/session.h"

namespace gpcsup::cli {

namespace {

struct Counter {  // a row of a group: its name in the original, and our attributes
    std::string_view resource;
    std::string_view controller;
    std::string_view held;
    std::string_view most;
    std::string_view barrier;
};
constexpr Counter counters[] = {
    {"numproc", "numtasks", "numtasks.current", "numtasks.peak", "numtasks.limit"},
    {"numfile", "numfiles", "numfiles.held", "numfiles.maxheld", "numfiles.barrier"},
};

Json value_of(const Json& attributes, const std::string& name) {
    return attributes.contains(name) ? attributes[name] : Json();
}

Json resources_of(const Json& attributes) {
    Json resources = Json::array();
    for (const Counter& counter : counters) {
        const std::string controller(counter.controller);
        if (!attributes.contains(counter.held)) {
            continue;
        }
        const Json limit = value_of(attributes, controller + ".limit");
        Json barrier = value_of(attributes, std::string(counter.barrier));
        barrier = barrier.is_null() ? limit : barrier;
        Json row{{"resource", counter.resource},
                 {"held", value_of(attributes, std::string(counter.held))},
                 {"maxheld", value_of(attributes, std::string(counter.most))},
                 {"barrier", barrier},
                 {"limit", limit},
                 {"failcnt", value_of(attributes, controller + ".failcnt")}};
        resources.push_back(std::move(row));
    }
    return resources;
}

// The hierarchy that numfiles is bound to.
base::Result<std::string> hierarchy_of_files(control::Client& client) {
    auto answer = client.hierarchies();
    if (!answer) {
        return base::pass(answer);
    }
    auto parsed = parse_answer(*answer);
    if (!parsed) {
        return base::pass(parsed);
    }
    for (const Json& hierarchy : list_of(*parsed, "hierarchies")) {
        if (std::ranges::count(list_of(hierarchy, "controllers"), Json("numfiles")) > 0) {
            return text_of(hierarchy, "name") + ":/";
        }
    }
    return base::refuse(ENOENT,
                        "numfiles is bound to no hierarchy: add it to the controllers of one in gpcsup.toml");
}

base::Result<Json> counted(control::Client& client, const std::string& prefix) {
    auto answer = client.groups(prefix);
    if (!answer) {
        return base::pass(answer);
    }
    auto parsed = parse_answer(*answer);
    if (!parsed) {
        return base::pass(parsed);
    }
    Json groups = Json::array();
    for (const Json& group : list_of(*parsed, "groups")) {
        const std::string name = text_of(group, "group");
        auto got = client.get(name, "");
        if (!got) {
            continue;  // removed meanwhile, or dying
        }
        auto attributes = parse_answer(*got);
        if (!attributes) {
            return base::pass(attributes);
        }
        groups.push_back(
            {{"group", name}, {"resources", resources_of(object_of(*attributes, "attributes"))}});
    }
    return Json{{"schema", 1}, {"version", "2.5"}, {"groups", std::move(groups)}};
}

}  // namespace

base::Result<int> do_beancounters(Session& session) {
    auto client = session.client();
    if (!client) {
        return base::pass(client);
    }
    base::Result<std::string> prefix = session.words().empty()
                                           ? hierarchy_of_files(**client)
                                           : base::Result<std::string>(session.words()[0]);
    if (!prefix) {
        return base::pass(prefix);
    }
    auto groups = counted(**client, *prefix);
    return groups ? show(session, groups->dump(), render_beancounters) : base::pass(groups);
}

}  // namespace gpcsup::cli
