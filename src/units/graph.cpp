#include "units/graph.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <utility>

#include "base/suggestion.h"

namespace gpcsup::units {

namespace {

constexpr std::array<std::string_view, 5> edge_names = {"before", "after", "wants", "requires", "binds"};

std::string quoted(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

}  // namespace

std::string_view name_of(EdgeKind kind) {
    return edge_names[static_cast<std::size_t>(kind)];
}

// Makes the graph in steps that each see all units: rows, edges, then what is refused.
class GraphBuilder {
  public:
    GraphBuilder(std::vector<Declaration> declarations, std::vector<BrokenUnit> broken) {
        std::ranges::stable_sort(declarations, {}, &Declaration::name);
        for (Declaration& declaration : declarations) {
            add_row(std::move(declaration), {});
        }
        for (BrokenUnit& unit : broken) {
            Declaration declaration;
            declaration.name = unit.name;
            declaration.enabled = unit.name == default_target;
            add_row(std::move(declaration), std::move(unit.reason));
        }
        if (!graph_.find(default_target)) {
            Declaration declaration;
            declaration.name = default_target;
            declaration.description = "Every unit that is enabled";
            declaration.kind = UnitKind::target;
            add_row(std::move(declaration), {});
        }
    }

    UnitGraph::Built build() {
        for (std::uint32_t row = 0; row < graph_.nodes_.size(); ++row) {
            connect(UnitId(row));
        }
        for (const auto& [unit, other] : declared_conflicts_) {  // every need is known by now
            add_conflict(unit, other);
        }
        while (refuse_one_loop()) {
        }
        for (Node& node : graph_.nodes_) {
            std::ranges::stable_sort(node.predecessors, std::greater<>(), &Edge::kind);
            for (const Edge& edge : node.predecessors) {
                const UnitId self = *graph_.find(node.declaration->name);
                graph_.nodes_[edge.unit.value].successors.push_back({self, edge.kind});
            }
        }
        return {std::move(graph_), std::move(problems_)};
    }

  private:
    Node& node(UnitId id) { return graph_.nodes_[id.value]; }
    const std::string& name(UnitId id) { return node(id).declaration->name; }

    void problem(UnitId id, std::string_view key, std::string_view value, std::string message) {
        problems_.push_back({name(id), std::string(key), std::string(value), std::move(message)});
    }

    void add_row(Declaration declaration, std::string refusal) {
        if (graph_.find(declaration.name)) {
            return;  // a file shadowed by a broken one, or the other way round: the first word counts
        }
        if (declaration.name == default_target && declaration.kind == UnitKind::service) {
            problems_.push_back(
                {declaration.name, "service", "", "\"default\" is a target: it cannot be a service"});
            declaration.kind = UnitKind::target;
        }
        const UnitId id = graph_.add(std::move(declaration));
        if (name(id) != default_target) {  // a boot with an error in default.toml is still a boot
            node(id).refusal = std::move(refusal);
            if (node(id).declaration->masked) {
                node(id).refusal = "masked: it says masked = true";
            }
        }
    }

    void connect(UnitId id) {
        const std::shared_ptr<const Declaration> declaration = node(id).declaration;
        const Edges& depends = declaration->depends;
        connect_all(id, EdgeKind::binds, depends.binds);
        connect_all(id, EdgeKind::requires_, depends.requires_);
        connect_all(id, EdgeKind::wants, depends.wants);
        connect_all(id, EdgeKind::after, depends.after);
        for (const std::string& other : depends.before) {
            if (const auto found = resolve(id, "depends.before", other)) {
                add_edge(*found, {id, EdgeKind::before});
            }
        }
        for (const std::string& other : depends.conflicts) {
            if (const auto found = resolve(id, "depends.conflicts", other)) {
                declared_conflicts_.emplace_back(id, *found);
            }
        }
        connect_to_targets(id, *declaration);
    }

    void connect_all(UnitId id, EdgeKind kind, const std::vector<std::string>& names) {
        const std::string key = "depends." + std::string(name_of(kind));
        for (const std::string& other : names) {
            if (const auto found = resolve(id, key, other)) {
                add_edge(id, {*found, kind});
            } else if (needs(kind) && name(id) != default_target) {
                node(id).refusal = "dependency: it " + std::string(name_of(kind)) + " " + quoted(other) +
                                   ", which does not exist";
            }
        }
    }

    void connect_to_targets(UnitId id, const Declaration& declaration) {
        if (!declaration.enabled || declaration.masked || declaration.name == default_target) {
            return;
        }
        if (declaration.wanted_by.empty()) {
            add_edge(*graph_.find(default_target), {id, EdgeKind::wants});
        }
        for (const std::string& target : declaration.wanted_by) {
            if (const auto found = resolve(id, "wanted_by", target)) {
                add_edge(*found, {id, EdgeKind::wants});
            }
        }
    }

    std::optional<UnitId> resolve(UnitId id, std::string_view key, const std::string& other) {
        const auto found = graph_.find(other);
        if (found == id) {
            problem(id, key, other, quoted(other) + " cannot depend on itself");
            return std::nullopt;
        }
        if (!found) {
            const auto near = graph_.nearest_name(other);
            problem(
                id, key, other,
                "there is no unit " + quoted(other) + (near ? "; did you mean " + quoted(*near) + "?" : ""));
        }
        return found;
    }

    void add_edge(UnitId from, Edge edge) {
        auto& edges = node(from).predecessors;
        const auto known = std::ranges::find(edges, edge.unit, &Edge::unit);
        if (known == edges.end()) {
            edges.push_back(edge);
        } else {
            known->kind = std::max(known->kind, edge.kind);
        }
    }

    bool needs_it(UnitId unit, UnitId other) {
        const auto known = std::ranges::find(node(unit).predecessors, other, &Edge::unit);
        return known != node(unit).predecessors.end() && needs(known->kind);
    }

    void add_conflict(UnitId a, UnitId b) {
        if (needs_it(a, b) || needs_it(b, a)) {
            const std::string& needing = name(needs_it(a, b) ? a : b);
            const std::string& needed = name(needs_it(a, b) ? b : a);
            problem(a, "depends.conflicts", name(b),
                    quoted(needing) + " needs " + quoted(needed) + ": it cannot be in conflict with it");
            return;
        }
        if (std::ranges::find(node(a).conflicts, b) == node(a).conflicts.end()) {
            node(a).conflicts.push_back(b);
            node(b).conflicts.push_back(a);
        }
    }

    // Takes away, again and again, what comes after nothing that is left. What stays is a cycle or behind
    // one.
    std::set<UnitId> unordered() {
        std::vector<std::uint32_t> waiting(graph_.nodes_.size());
        std::vector<std::vector<UnitId>> behind(graph_.nodes_.size());
        std::vector<UnitId> ready;
        std::set<UnitId> left;
        for (std::uint32_t row = 0; row < graph_.nodes_.size(); ++row) {
            waiting[row] = static_cast<std::uint32_t>(graph_.nodes_[row].predecessors.size());
            for (const Edge& edge : graph_.nodes_[row].predecessors) {
                behind[edge.unit.value].push_back(UnitId(row));
            }
            left.insert(UnitId(row));
            if (waiting[row] == 0) {
                ready.push_back(UnitId(row));
            }
        }
        while (!ready.empty()) {
            const UnitId id = ready.back();
            ready.pop_back();
            left.erase(id);
            for (UnitId next : behind[id.value]) {
                if (--waiting[next.value] == 0) {
                    ready.push_back(next);
                }
            }
        }
        return left;
    }

    // Everything left has a predecessor that is left too, so walking back must come round.
    std::vector<Edge> find_loop(const std::set<UnitId>& left) {
        std::vector<Edge> walk = {{*left.begin(), EdgeKind::after}};
        while (true) {
            const auto& edges = node(walk.back().unit).predecessors;
            const Edge next =
                *std::ranges::find_if(edges, [&](const Edge& edge) { return left.contains(edge.unit); });
            const auto seen = std::ranges::find(walk, next.unit, &Edge::unit);
            if (seen != walk.end()) {
                walk.erase(walk.begin(), seen);
                walk.push_back(next);
                return walk;
            }
            walk.push_back(next);
        }
    }

    bool refuse_one_loop() {
        const std::set<UnitId> left = unordered();
        if (left.empty()) {
            return false;
        }
        const std::vector<Edge> loop = find_loop(left);
        std::string text = name(loop.front().unit);
        bool through_default = false;
        for (std::size_t i = 1; i < loop.size(); ++i) {
            text += " -> " + name(loop[i].unit) + " (" + std::string(name_of(loop[i].kind)) + ")";
            through_default = through_default || name(loop[i].unit) == default_target;
        }
        std::string hint = ". Take one of these edges away";
        if (through_default) {
            hint =
                ". \"default\" wants every enabled unit: say enabled = false or wanted_by = [\"…\"] in the "
                "unit";
        }
        report_loop(loop[name(loop[0].unit) == default_target ? 1 : 0].unit,
                    loop[name(loop[0].unit) == default_target ? 2 : 1],
                    "these units wait for each other: " + text + hint);
        for (const Edge& edge : loop) {
            if (name(edge.unit) != default_target) {
                refuse(edge.unit, "cycle: " + text);
            }
        }
        return true;
    }

    // At the edge's own place in the files: `before` is written at its other end.
    void report_loop(UnitId from, const Edge& edge, std::string message) {
        if (edge.kind == EdgeKind::before) {
            problem(edge.unit, "depends.before", name(from), std::move(message));
        } else {
            problem(from, "depends." + std::string(name_of(edge.kind)), name(edge.unit), std::move(message));
        }
    }

    // Its edges go, but who needs it still finds it (and its refusal).
    void refuse(UnitId id, std::string reason) {
        node(id).refusal = std::move(reason);
        node(id).predecessors.clear();
        for (Node& other : graph_.nodes_) {
            std::erase_if(other.predecessors,
                          [&](const Edge& edge) { return edge.unit == id && edge.kind == EdgeKind::before; });
        }
    }

    UnitGraph graph_;
    std::vector<GraphProblem> problems_;
    std::vector<std::pair<UnitId, UnitId>> declared_conflicts_;
};

UnitGraph::Built UnitGraph::build(std::vector<Declaration> declarations, std::vector<BrokenUnit> broken) {
    return GraphBuilder(std::move(declarations), std::move(broken)).build();
}

std::optional<UnitId> UnitGraph::find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::string_view> UnitGraph::names() const {
    std::vector<std::string_view> result;
    result.reserve(by_name_.size());
    for (const auto& [name, id] : by_name_) {
        result.emplace_back(name);
    }
    std::ranges::sort(result);
    return result;
}

std::optional<std::string_view> UnitGraph::nearest_name(std::string_view name) const {
    return base::nearest(name, names());
}

UnitId UnitGraph::add(Declaration declaration) {
    UnitId id(static_cast<std::uint32_t>(nodes_.size()));
    if (free_.empty()) {
        nodes_.emplace_back();
    } else {
        id = free_.back();
        free_.pop_back();
    }
    by_name_.emplace(declaration.name, id);
    nodes_[id.value].declaration = std::make_shared<const Declaration>(std::move(declaration));
    return id;
}

void UnitGraph::remove(UnitId id) {
    by_name_.erase(nodes_[id.value].declaration->name);
    nodes_[id.value] = Node{};
    free_.push_back(id);
}

}  // namespace gpcsup::units
