#include "supervisor/applying.h"

#include <algorithm>
#include <set>

#include "controllers/controller.h"
#include "supervisor/declaration_json.h"
#include "supervisor/declared_json.h"
#include "supervisor/live_tree.h"

namespace gpcsup::supervisor {

using grouping::GroupId;
using grouping::TreeAction;
using grouping::TreeStep;

namespace {

constexpr std::string_view staged_prefix = "next/";
constexpr std::string_view marker = "apply";

units::TimePoint now() {
    return units::TimePoint(std::chrono::nanoseconds(monotonic_now_ns()));
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : ", ") + word;
    }
    return text;
}

bool same_rules(const std::vector<grouping::Rule>& a, const std::vector<grouping::Rule>& b) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return x.means(y); });
}

std::vector<controllers::SettingText> settings_of(const TreeStep& step) {
    std::vector<controllers::SettingText> settings;
    settings.reserve(step.changes.size());
    for (const grouping::SettingChange& change : step.changes) {
        settings.push_back({change.name, change.to});
    }
    return settings;
}

// "gpcsup.toml:12:3" in its parts, where it is one.
Json problem_at(const std::string& location, const std::string& key, const std::string& message) {
    Json problem = {
        {"file", nullptr}, {"line", nullptr}, {"column", nullptr}, {"key", key}, {"message", message}};
    const std::size_t column = location.rfind(':');
    const std::size_t line = column == std::string::npos ? column : location.rfind(':', column - 1);
    if (line != std::string::npos && line > 0) {
        problem["file"] = location.substr(0, line);
        problem["line"] = std::atoi(location.c_str() + line + 1);
        problem["column"] = std::atoi(location.c_str() + column + 1);
    }
    return problem;
}

}  // namespace

// --- the plan
// ------------------------------------------------------------------------------------------------------------

std::vector<TreeStep> Applying::steps_between(const grouping::DeclaredTree& previous,
                                              const grouping::DeclaredTree& next) const {
    return grouping::plan_tree(previous, next, live_tree(parts_.forest, parts_.controllers),
                               making_of_groups());
}

Applying::Plan Applying::make_plan(const Configuration& next) {
    Plan plan;
    plan.tree = steps_between(parts_.configuration.hierarchies(), next.hierarchies());
    plan.rules_differ = !same_rules(parts_.configuration.rules(), next.rules());
    plan.units = parts_.engine.plan(next.graph());
    for (const config::Located& one : next.located()) {
        plan.problems.push_back(supervisor::to_json(one));
    }
    find_blockers(plan);
    return plan;
}

void Applying::find_blockers(Plan& plan) {
    const auto occupants_of = [this](const std::string& hierarchy, const std::string& path) {
        auto group = parts_.forest.resolve(hierarchy + ":" + path);
        const grouping::Group* known = group ? parts_.forest.group(*group) : nullptr;
        return known == nullptr ? grouping::Occupants{}
                                : grouping::Occupants{known->processes, known->threads};
    };
    for (const auto& blocker :
         grouping::blockers_of(plan.tree, live_tree(parts_.forest, parts_.controllers), occupants_of)) {
        plan.problems.push_back(problem_at(blocker.location, blocker.what, blocker.message));
    }
    std::map<std::string, unsigned> changed;  // steps of a hierarchy that settings may depend on
    for (const TreeStep& step : plan.tree) {
        const bool counts = step.action == TreeAction::set || step.action == TreeAction::rebind_hierarchy;
        changed[step.hierarchy] += counts ? 1 : 0;
    }
    for (const TreeStep& step : plan.tree) {
        if (step.action != TreeAction::set || changed[step.hierarchy] > 1) {
            continue;  // they depend on each other: they are tried, and taken back if need be
        }
        if (auto group = parts_.forest.resolve(step.what())) {
            if (auto agreed = parts_.controllers.check(*group, settings_of(step)); !agreed) {
                plan.problems.push_back(problem_at(step.location, step.what(), agreed.error().message()));
            }
        }
    }
}

Json Applying::to_json(const Plan& plan, const Configuration& next) const {
    Json steps = Json::array();
    const auto add = [&](std::string_view action, const std::string& what, const std::string& detail) {
        steps.push_back({{"action", action}, {"what", what}, {"detail", detail}});
    };
    for (const TreeStep& step : plan.tree) {
        add(grouping::name_of(step.action), step.what(), step.detail());
    }
    if (plan.rules_differ) {
        add("rules", "rules",
            std::to_string(parts_.configuration.rules().size()) + " → " +
                std::to_string(next.rules().size()) + ", for what starts or executes from now on");
    }
    for (const units::PlannedChange& change : plan.units) {
        switch (change.change) {
            case units::Change::add:
                add("add-unit", change.unit, "");
                break;
            case units::Change::remove:
                add("remove-unit", change.unit, "its file is gone: it is stopped");
                break;
            case units::Change::update:
                add("change-unit", change.unit, joined(change.keys));
                break;
            case units::Change::restart:
                add("change-unit", change.unit, joined(change.keys) + "; it runs: restart it to apply");
                break;
        }
    }
    return {{"schema", 1}, {"steps", steps}, {"problems", plan.problems}, {"left", Json::array()}};
}

base::Result<std::string> Applying::apply(How how) {
    auto next = Configuration::load(parts_.here);
    if (!next) {
        return base::pass(next);
    }
    Plan plan = make_plan(*next);
    Json answer = to_json(plan, *next);
    if (how == How::apply && plan.problems.empty() && !plan.is_empty()) {
        stage(plan, *next);
        if (auto done = carry_out(plan, std::move(*next)); !done) {
            answer["steps"] = Json::array();
            answer["problems"].push_back(problem_at("", "", done.error().error.message()));
            answer["left"] = done.error().left;
        } else {
            parts_.chronicle.note("applied", {{"steps", answer["steps"].size()}});
        }
    } else if (how == How::apply && plan.problems.empty()) {  // a problem that was told of at boot is mended
        static_cast<void>(next->take_graph());                // the engine has the same
        parts_.configuration = std::move(*next);
        parts_.configuration.record_tree(parts_.chronicle);
    }
    return text_of(answer);
}

// --- the steps
// -----------------------------------------------------------------------------------------------------------

// The marker is the last record: without it nothing was meant yet.
void Applying::stage(const Plan& plan, const Configuration& next) {
    Json removed = Json::array();
    for (const units::PlannedChange& change : plan.units) {
        if (change.change == units::Change::remove) {
            removed.push_back(change.unit);
        } else if (const auto id = next.graph().find(change.unit)) {
            staged_[std::string(staged_prefix) + "declared/" + change.unit] =
                text_of(supervisor::to_json(*next.graph()[*id].declaration));
        }
    }
    for (auto& [key, body] : next.tree_records()) {
        staged_[std::string(staged_prefix) + key] = std::move(body);
    }
    for (const auto& [key, body] : staged_) {
        parts_.chronicle.keep(key, body);
    }
    staged_[std::string(marker)] = text_of({{"removed", removed}});
    parts_.chronicle.keep(marker, staged_[std::string(marker)]);
}

void Applying::unstage() {
    for (const auto& [key, body] : staged_) {
        if (key != marker) {
            parts_.chronicle.erase("", key);
        }
    }
    if (staged_.contains(std::string(marker))) {
        parts_.chronicle.erase("", marker);  // last: until then a successor does it all again
    }
    staged_.clear();
}

std::expected<void, Applying::Failure> Applying::carry_out(const Plan& plan, Configuration next) {
    const grouping::DeclaredTree before = live_tree(parts_.forest, parts_.controllers);
    if (auto done = take_steps(plan.tree); !done) {
        Failure failure{std::move(done.error()), roll_back(before)};
        parts_.services.place_domains();
        unstage();
        return std::unexpected(std::move(failure));
    }
    parts_.services.place_domains();  // a filtered service is bound by the hierarchies that there are now
    parts_.rules.take(next.rules());
    parts_.engine.replace_graph(next.take_graph(), now());
    for (const units::PlannedChange& change : plan.units) {
        const std::string key = "declared/" + change.unit;
        if (change.change == units::Change::remove) {
            parts_.chronicle.erase("", key);
        } else if (change.unit != units::default_target) {
            parts_.chronicle.state("", key, supervisor::to_json(*parts_.engine.declaration(change.unit)));
        }
    }
    parts_.configuration = std::move(next);
    parts_.configuration.record_tree(parts_.chronicle);
    unstage();
    parts_.services.settle();
    return {};
}

// Groups and settings may allow each other only in a certain order (a child's CPUs must be among its
// parent's, before and after; a group needs room below its parent): what is refused is tried again after the
// others, until no step is taken any more. What is left then, each with its error.
std::vector<Applying::Refused> Applying::take_all(std::vector<TreeStep> steps) {
    while (!steps.empty()) {
        std::vector<Refused> refused;
        for (TreeStep& step : steps) {
            if (auto done = take(step); !done) {
                refused.push_back({std::move(step), std::move(done.error())});
            }
        }
        if (refused.size() == steps.size()) {
            return refused;
        }
        steps.clear();
        for (Refused& one : refused) {
            steps.push_back(std::move(one.step));
        }
    }
    return {};
}

// Hierarchies first, each step of which needs those before it.
base::Result<> Applying::take_steps(std::vector<TreeStep> steps) {
    const auto groups = std::ranges::find_if(
        steps, [](const TreeStep& step) { return step.action >= TreeAction::create_group; });
    for (auto step = steps.begin(); step != groups; ++step) {
        if (auto done = take(*step); !done) {
            return done;
        }
    }
    steps.erase(steps.begin(), groups);
    auto refused = take_all(std::move(steps));
    return refused.empty() ? base::Result<>() : std::unexpected(std::move(refused.front().why));
}

base::Result<> Applying::take(const TreeStep& step) {
    if (step.action == TreeAction::create_hierarchy) {
        auto made = parts_.groups.create_hierarchy(step.hierarchy, step.controllers, step.compat);
        return made ? base::Result<>() : base::pass(made);
    }
    if (step.action == TreeAction::create_group) {
        auto made = parts_.groups.create(step.what(), Groups::Parents::made);
        return made ? base::Result<>() : base::pass(made);
    }
    auto group = parts_.forest.resolve(step.path.empty() ? step.hierarchy + ":/" : step.what());
    if (!group) {
        return base::pass(group);
    }
    const grouping::HierarchyId hierarchy = parts_.forest.group(*group)->hierarchy;
    switch (step.action) {
        case TreeAction::change_compat:  // it has come to be there since the plan was made
            return base::refuse(EBUSY, "hierarchy " + step.hierarchy + " exists with another compat");
        case TreeAction::remove_group:
            return parts_.groups.remove(*group);
        case TreeAction::remove_hierarchy:
            return parts_.groups.remove_hierarchy(hierarchy);
        case TreeAction::release_controllers:
        case TreeAction::rebind_hierarchy:
            return parts_.groups.rebind_hierarchy(hierarchy, step.controllers);
        default:
            return parts_.groups.set(*group, settings_of(step));
    }
}

// Going back is going forward to what there was, not to what was declared: what was made or set at run time
// is there again, too. As far as it goes: one step that is refused keeps no other from being taken.
Json Applying::roll_back(const grouping::DeclaredTree& before) {
    Json left = Json::array();
    for (const Refused& one : take_all(steps_between(live_tree(parts_.forest, parts_.controllers), before))) {
        left.push_back(one.step.what() + ": " + one.why.message());
        parts_.chronicle.note("apply-not-undone", {{"reason", left.back()}});
    }
    return left;
}

// A boot is an apply to nothing, but for what cannot be had: that is told, and the rest is there.
void Applying::declare() {
    std::set<std::string> missing;  // hierarchies and groups: what is said of them is no problem of its own
    for (const Refused& one : take_all(steps_between({}, parts_.configuration.hierarchies()))) {
        const bool is_set = one.step.action == TreeAction::set;
        if (missing.contains(one.step.hierarchy) || (is_set && missing.contains(one.step.what()))) {
            continue;
        }
        if (!is_set) {
            missing.insert(one.step.what());
        }
        parts_.configuration.add_problem(one.step.location + ": " + one.why.message());
    }
    parts_.configuration.record_problems(parts_.chronicle);
}

// --- after a crash
// -------------------------------------------------------------------------------------------------------

void Applying::adopt(const journal::States& states) {
    for (auto at = states.lower_bound(staged_prefix);
         at != states.end() && at->first.starts_with(staged_prefix); ++at) {
        staged_[at->first] = at->second.body;
    }
    if (const auto found = states.find(marker); found != states.end()) {
        staged_[std::string(marker)] = found->second.body;
    }
}

void Applying::resume(const journal::States& states) {
    if (!staged_.contains(std::string(marker))) {
        return unstage();  // it was killed before it had meant anything
    }
    journal::States wanted = states;
    for (const auto& [key, body] : staged_) {
        if (key.starts_with(staged_prefix)) {
            wanted[key.substr(staged_prefix.size())].body = body;
        }
    }
    const Json body = Json::parse(staged_[std::string(marker)], nullptr, false);
    for (const Json& unit : body.is_object() ? body.value("removed", Json::array()) : Json::array()) {
        wanted.erase("declared/" + unit.get<std::string>());
    }
    auto next = Configuration::restore(wanted);
    if (!next) {
        parts_.chronicle.note("apply-failed", {{"reason", next.error().message()}});
        return unstage();
    }
    const Plan plan = make_plan(*next);
    const std::size_t steps = to_json(plan, *next)["steps"].size();
    if (auto done = carry_out(plan, std::move(*next)); !done) {
        parts_.chronicle.note("apply-failed", {{"reason", done.error().error.message()}});
    } else {
        parts_.chronicle.note("applied", {{"steps", steps}});
    }
}

}  // namespace gpcsup::supervisor
