#include "processes/attribution.h"

#include <array>

#include "wire/keep.h"

namespace gpcsup::processes {
namespace {

constexpr std::array names{"intent", "", "marker", "session", "process group", "helper", "nobody"};

}  // namespace

const char* to_string(Attribution attribution) {
    return names.at(static_cast<std::size_t>(attribution));
}

Attributor::Attributor(ProcessTable& table, sys::ProcFiles& files, Origins& origins)
    : table_(table), files_(files), origins_(origins) {
    if (const auto root = files_.stat(table_.root())) {
        root_session_ = root->session;
        root_group_ = root->process_group;
    }
}

// The session's leader if it is known, else any live process of it. The one gpc-init is in says nothing.
std::optional<grouping::MembershipId> Attributor::of_session(const sys::ProcStat& stat) const {
    if (stat.session == root_session_ || stat.session == 0) {
        return std::nullopt;
    }
    std::optional<grouping::MembershipId> found;
    table_.for_each([&](const Process& process) {
        if (process.session == stat.session && process.pid != stat.pid && !process.has(process_dead) &&
            !process.has(process_stray) && (!found || process.pid == stat.session)) {
            found = process.membership;
        }
    });
    return found;
}

std::optional<grouping::MembershipId> Attributor::of_process_group(const sys::ProcStat& stat) const {
    if (stat.process_group == root_group_ || stat.process_group == 0) {
        return std::nullopt;
    }
    std::optional<grouping::MembershipId> found;
    table_.for_each([&](const Process& process) {
        if (process.group == stat.process_group && process.pid != stat.pid && !process.has(process_dead) &&
            !process.has(process_stray) && (!found || process.pid == stat.process_group)) {
            found = process.membership;
        }
    });
    return found;
}

std::optional<grouping::Places> Attributor::places_of_session(pid_t session) const {
    if (session == root_session_ || session == 0) {
        return std::nullopt;
    }
    std::optional<grouping::Places> found;
    table_.for_each([&](const Process& process) {
        if (process.session == session && (!found || process.pid == session)) {
            found = table_.places(process);
        }
    });
    return found;
}

Attributor::Answer Attributor::attribute(pid_t pid, const sys::ProcStat& stat) {
    const auto environ = files_.environ(pid);
    if (environ) {
        if (const auto value = sys::environment_value(*environ, marker_variable)) {
            if (const auto membership = origins_.marked(*value)) {
                return {Attribution::marker, *membership};
            }
        }
    }
    if (const auto membership = of_session(stat)) {
        return {Attribution::session, *membership};
    }
    if (const auto membership = of_process_group(stat)) {
        return {Attribution::process_group, *membership};
    }
    // gpc-init's own helpers, before and after their exec. They belong to no unit, and that is no news.
    if (stat.session == root_session_ ||
        (environ && sys::environment_value(*environ, wire::keeper_variable))) {
        return {Attribution::helper, {}};
    }
    return {Attribution::nobody, {}};
}

}  // namespace gpcsup::processes
