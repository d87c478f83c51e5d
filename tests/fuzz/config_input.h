#pragma once
// What the fuzzer and the test of its corpus do with one input: read it as everything it could be, and use
// what came out.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "config/hierarchy_file.h"
#include "config/shell_words.h"
#include "config/unit_file.h"
#include "units/graph.h"
#include "units/settings.h"

namespace gpcsup::config::fuzz {

class AnyCatalogue : public AttributeCatalogue {
  public:
    base::Result<std::string> check(std::string_view, ValueKind, std::string_view text) const override {
        return std::string(text);
    }
    std::vector<std::string> names() const override {
        return {"numtasks.limit", "cpuset.cpus", "group.owner"};
    }
    std::vector<std::string> controllers() const override { return {"numtasks", "cpuset"}; }
};

inline void demand(bool condition) {
    if (!condition) {
        std::abort();
    }
}

inline void check_problems(const std::vector<Located>& problems) {
    for (const Located& problem : problems) {
        demand(problem.line >= 1 && problem.column >= 1 && !problem.message.empty() && !problem.file.empty());
    }
}

inline void feed(std::string_view input) {
    const AnyCatalogue catalogue;
    // "---" on a line of its own begins a drop-in.
    std::vector<SourceText> texts;
    constexpr std::string_view separator = "\n---\n";
    for (std::string_view rest = input; texts.size() < 4;) {
        const std::size_t end = rest.find(separator);
        texts.push_back({"unit.toml", std::string(rest.substr(0, end))});
        if (end == std::string_view::npos) {
            break;
        }
        rest.remove_prefix(end + separator.size());
    }
    UnitFile unit = read_unit("web", texts, &catalogue);
    check_problems(unit.problems);
    if (unit.problems.empty()) {
        demand(unit.declaration.kind == units::UnitKind::target || !unit.declaration.command.empty());
        demand(!units::effective_settings(unit.declaration, units::Audience::owner).empty());
        demand(units::differences(unit.declaration, unit.declaration).empty());
        const auto built = units::UnitGraph::build({std::move(unit.declaration)});
        demand(built.graph.find("web").has_value() && built.graph.find("default").has_value());
    }
    const HierarchyFile file = read_hierarchies("gpcsup.toml", input, &catalogue);
    check_problems(file.problems);
    for (const HierarchyDeclaration& hierarchy : file.hierarchies) {
        demand(!hierarchy.name.empty());
        for (const GroupDeclaration& group : hierarchy.groups) {
            demand(group.path.starts_with('/'));
        }
    }
    (void)split_words(input);
}

}  // namespace gpcsup::config::fuzz
