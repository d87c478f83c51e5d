#pragma once
// One attach as a client asks for it: names become processes and groups, and every item is judged (is it
// there, can it be moved, may this caller move it) before anything moves. All that is in the way is told,
// item by item. Who was not named, and ends before anything moves, is not in the way. It moves nothing
// itself.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "grouping/placement.h"
#include "supervisor/census.h"
#include "supervisor/move_rights.h"
#include "supervisor/placing.h"
#include "units/engine.h"

namespace gpcsup::supervisor {

enum class ItemKind {
    process,
    thread,
    unit,
    group,
    all,  // no single item is to blame
};

struct RefusedItem {
    ItemKind kind = ItemKind::all;
    std::string name;                        // as it was asked for: "4711", "web", "compute:/a"
    std::optional<base::ProcessId> process;  // where it is known
    std::string group;                       // HIERARCHY:PATH that it was to get; may be empty
    base::Error error;
    std::optional<base::ThreadId> thread = std::nullopt;
};

class AttachRequest {
  public:
    struct Sources {
        grouping::Forest& forest;
        Census& census;
        units::Engine& engine;
        Placing& placing;
        const processes::ThreadsApart& threads;
        pid_t init_pid;
    };
    AttachRequest(const Sources& sources, MoveRights rights) : from_(sources), rights_(std::move(rights)) {}

    void read(std::span<const std::string> what, std::span<const std::string> groups, std::string_view scope);
    void judge(const control::Caller& caller);      // after read: rights, for each process and group
    void refuse(const grouping::Refusal& refusal);  // from the placement

    [[nodiscard]] const grouping::PlacementRequest& placement() const { return placement_; }
    [[nodiscard]] const std::vector<RefusedItem>& refused() const { return refused_; }

  private:
    void read_group(const std::string& name);
    void read_word(const std::string& word, std::string_view scope);
    void read_thread(const std::string& word);
    void read_unit(const std::string& name);
    void judge_threads(const control::Caller& caller);
    [[nodiscard]] base::Result<> check(const control::Caller& caller, const processes::Process& process,
                                       grouping::GroupId target) const;
    [[nodiscard]] grouping::GroupId source_of(const base::ThreadId& thread, const processes::Process& process,
                                              grouping::GroupId target) const;
    void add_tree(base::ProcessId top);
    base::Result<processes::Process*> find(const std::string& text);
    processes::Process* find(pid_t pid);
    [[nodiscard]] std::optional<RefusedItem> judge_process(const control::Caller& caller,
                                                           base::ProcessId id) const;
    void leave_out(const std::vector<base::ProcessId>& ended);
    [[nodiscard]] base::Error not_tracked(pid_t pid) const;
    [[nodiscard]] std::string target_names() const;

    Sources from_;
    MoveRights rights_;
    grouping::PlacementRequest placement_;
    std::set<base::ProcessId> named_;  // by number; the others came as what is below them, or as a unit's
    std::vector<RefusedItem> refused_;
};

// One error for all of them: a line for each, and a code that stands for all (Failed when they differ).
[[nodiscard]] base::Error summary(std::span<const RefusedItem> refused);
[[nodiscard]] Json to_json(const RefusedItem& item);  // docs/bus.md, Attach

}  // namespace gpcsup::supervisor
