#pragma once
// `gpcsup apply`: the files as they are on disk now become what is in force, all of it or nothing. First a
// plan, in which everything is found that would be refused; then the steps. The next configuration is in the
// journal, whole, before the first step: a successor of a gpcsupd that was killed in between completes it.

#include <expected>
#include <map>
#include <string>
#include <string_view>

#include "grouping/tree_plan.h"
#include "supervisor/configuration.h"
#include "supervisor/services.h"

namespace gpcsup::supervisor {

class Applying {
  public:
    struct Parts {
        const Surroundings& here;
        Configuration& configuration;
        grouping::Forest& forest;
        controllers::ControllerSet& controllers;
        Groups& groups;
        RuleBook& rules;
        units::Engine& engine;
        Services& services;
        Chronicle& chronicle;
    };
    explicit Applying(const Parts& parts) : parts_(parts) {}

    void declare();  // at boot: what the configuration says is made, and what cannot be is among its problems
    void adopt(const journal::States& states);  // what a predecessor had begun; then resume when all is there
    void resume(const journal::States& states);

    enum class How { plan, apply };
    // {"schema", "steps": [{"action", "what", "detail"}], "problems": [{"file", "line", "column", "key",
    // "message"}], "left": [what a failed step left changed, since it could not be taken back]}: with
    // problems everything else is as it was.
    base::Result<std::string> apply(How how);

  private:
    struct Plan {
        std::vector<grouping::TreeStep> tree;
        bool rules_differ = false;
        std::vector<units::PlannedChange> units;
        Json problems = Json::array();
        [[nodiscard]] bool is_empty() const { return tree.empty() && !rules_differ && units.empty(); }
    };
    Plan make_plan(const Configuration& next);
    void find_blockers(Plan& plan);
    [[nodiscard]] Json to_json(const Plan& plan, const Configuration& next) const;
    void stage(const Plan& plan, const Configuration& next);
    void unstage();
    struct Failure {
        base::Error error;
        Json left = Json::array();
    };
    std::expected<void, Failure> carry_out(const Plan& plan, Configuration next);
    struct Refused {
        grouping::TreeStep step;
        base::Error why;
    };
    std::vector<Refused> take_all(std::vector<grouping::TreeStep> steps);
    base::Result<> take_steps(std::vector<grouping::TreeStep> steps);
    base::Result<> take(const grouping::TreeStep& step);
    [[nodiscard]] Json roll_back(const grouping::DeclaredTree& before);
    [[nodiscard]] std::vector<grouping::TreeStep> steps_between(const grouping::DeclaredTree& previous,
                                                                const grouping::DeclaredTree& next) const;

    Parts parts_;
    std::map<std::string, std::string> staged_;  // journal key → body, until it is in force
};

}  // namespace gpcsup::supervisor
