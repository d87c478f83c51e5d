#pragma once
// Who waits for whom: the declarations with every name resolved, and no cycle left. Pure; it knows nothing of
// states.
//
// An edge leads from a unit to one that it comes after ("web -> db"). All of INTERFACE's edges order
// (conflicts apart); requires, wants and binds also pull. Two units have at most one edge: the strongest one
// that was declared.
//
// A bad unit never takes a good one with it: it stays in the graph as *refused*, with the reason, cannot be
// started, and its edges are dropped, so that what is left is always a proper order. The target `default` is
// never refused.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/strong_id.h"
#include "units/declaration.h"

namespace gpcsup::units {

struct UnitTag;
using UnitId = base::StrongId<UnitTag>;

enum class EdgeKind : std::uint8_t {
    before,
    after,
    wants,
    requires_,
    binds
};  // ascending strength; before = after, seen from the other

[[nodiscard]] std::string_view name_of(EdgeKind kind);
constexpr bool pulls(EdgeKind kind) {
    return kind >= EdgeKind::wants;
}
constexpr bool needs(EdgeKind kind) {
    return kind >= EdgeKind::requires_;
}

struct Edge {
    UnitId unit;
    EdgeKind kind;
};

struct Node {
    std::shared_ptr<const Declaration> declaration;  // null: a free row
    std::string refusal;                             // why it cannot be started; empty = it can
    std::vector<Edge> predecessors;                  // what it comes after, the strongest kind first
    std::vector<Edge> successors;                    // the same edges from the other end
    std::vector<UnitId> conflicts;                   // both ways
};

struct GraphProblem {  // room config knows where KEY of UNIT is written
    std::string unit;
    std::string key;    // "depends.requires"
    std::string value;  // the name in its list; may be empty
    std::string message;
};

struct BrokenUnit {  // its file has errors: it is known by name, and refused
    std::string name;
    std::string reason;
};

inline constexpr std::string_view default_target = "default";

class UnitGraph {
  public:
    struct Built;
    static Built build(std::vector<Declaration> declarations, std::vector<BrokenUnit> broken = {});

    [[nodiscard]] std::size_t size() const { return nodes_.size(); }  // rows, free ones too
    [[nodiscard]] const Node& operator[](UnitId id) const { return nodes_[id.value]; }
    [[nodiscard]] std::optional<UnitId> find(std::string_view name) const;
    [[nodiscard]] std::vector<std::string_view> names() const;  // sorted
    [[nodiscard]] std::optional<std::string_view> nearest_name(std::string_view name) const;

    // A unit without edges, at run time (`gpcsup run`, or one that runs on although its file is gone). The
    // name must be new.
    UnitId add(Declaration declaration);
    void remove(UnitId id);  // only what `add` made: nothing may refer to it

  private:
    friend class GraphBuilder;
    struct Hash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    std::vector<Node> nodes_;
    std::vector<UnitId> free_;
    std::unordered_map<std::string, UnitId, Hash, std::equal_to<>> by_name_;
};

struct UnitGraph::Built {
    UnitGraph graph;
    std::vector<GraphProblem> problems;
};

}  // namespace gpcsup::units
