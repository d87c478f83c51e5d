#include "processes/file_book.h"

#include <algorithm>
#include <unordered_set>

namespace gpcsup::processes {
namespace {

using grouping::GroupId;
using sys::FileOrder;

constexpr unsigned rounds =
    4;  // of looks at who is a member: each finds those that were forked during the last

}  // namespace

std::uint64_t FileBook::count(GroupId group, const std::function<void()>& settle, std::uint64_t plenty) {
    Entries entries;
    list_members(group, settle, entries);
    list_witnesses(group, entries);
    if (entries.size() < plenty) {
        return entries.size();
    }
    std::uint64_t charged = 0;
    for (const Entries& description : by_description(entries)) {
        const auto witnessed =
            std::ranges::find_if(description, [](const Entry& entry) { return entry.charged != GroupId{}; });
        if (witnessed == description.end()) {
            ++charged;
            continue;
        }
        spread(description, witnessed->charged);
        charged += forest_.counts_in(witnessed->charged, group) ? 1 : 0;
    }
    return charged;
}

void FileBook::list_members(GroupId group, const std::function<void()>& settle, Entries& entries) {
    std::unordered_set<pid_t> listed;
    for (unsigned round = 0; round < rounds; ++round) {
        settle();
        std::vector<Process> fresh;
        table_.for_each_counted(group, [&](const Process& process) {
            if (!listed.contains(process.pid)) {
                fresh.push_back(process);
            }
        });
        if (fresh.empty()) {
            return;
        }
        for (const Process& process : fresh) {
            listed.insert(process.pid);
            list_process(process, entries);
        }
    }
}

// One table a process, unless a thread has unshared its own.
void FileBook::list_process(const Process& process, Entries& entries) {
    list_table(process.id(), process.pid, entries);
    if (process.threads <= 1) {
        return;
    }
    const auto tasks = proc_.tasks(process.pid);
    if (!tasks) {
        return;
    }
    std::vector<pid_t> tables{process.pid};
    for (const pid_t task : *tasks) {
        const bool known = std::ranges::any_of(tables, [&](pid_t table) {
            return table == task || files_.compare_tables(table, task) == sys::OpenFiles::Tables::shared;
        });
        if (!known) {
            tables.push_back(task);
            list_table(process.id(), task, entries);
        }
    }
}

void FileBook::list_table(const base::ProcessId& holder, pid_t task, Entries& entries) {
    const auto numbers = files_.descriptors(task);
    if (!numbers) {
        return;
    }
    for (const int number : *numbers) {
        const sys::Descriptor descriptor{task, number};
        entries.push_back({descriptor, charged_to(holder, descriptor), holder});
    }
}

GroupId FileBook::charged_to(const base::ProcessId& holder, const sys::Descriptor& descriptor) {
    const auto known = witnesses_.find(holder);
    if (known == witnesses_.end() || descriptor.pid != holder.pid) {
        return {};
    }
    Files& files = known->second;
    const auto witness = files.find(descriptor.number);
    if (witness == files.end()) {
        return {};
    }
    if (files_.identity(descriptor) != witness->second.file) {
        files.erase(witness);
        return {};
    }
    return witness->second.group;
}

FileBook::Entries FileBook::look_at_witnesses(const Wanted& wanted) {
    Entries found;
    std::erase_if(witnesses_, [&](auto& holder) {
        auto& [process, files] = holder;
        for (auto at = files.begin(); at != files.end();) {
            const auto [number, witness] = *at++;
            const sys::Descriptor descriptor{process.pid, number};
            if (wanted(process, witness.group) && charged_to(process, descriptor) != GroupId{}) {
                found.push_back({descriptor, witness.group, process});
            }
        }
        return files.empty();
    });
    return found;
}

void FileBook::list_witnesses(GroupId group, Entries& entries) {
    std::set<base::ProcessId> members;
    for (const Entry& entry : entries) {
        members.insert(entry.holder);
    }
    const Entries others = look_at_witnesses([&](const base::ProcessId& holder, GroupId charged) {
        return !members.contains(holder) && forest_.counts_in(charged, group);
    });
    entries.insert(entries.end(), others.begin(), others.end());
}

bool FileBook::is_member(const base::ProcessId& process, GroupId group) const {
    const Process* known = table_.find(process);
    const grouping::Group* at = forest_.group(group);
    return known != nullptr && at != nullptr && forest_.is_within(table_.place(*known, at->hierarchy), group);
}

// Sorted by insertion: a descriptor may be closed between two comparisons, which no sort of the library
// endures.
std::vector<FileBook::Entries> FileBook::by_description(const Entries& entries) {
    std::vector<Entries> sorted;
    const auto place = [&](const Entry& entry) {
        std::size_t low = 0;
        std::size_t high = sorted.size();
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            switch (files_.compare(entry.descriptor, sorted[middle].front().descriptor)) {
                case FileOrder::same:
                    sorted[middle].push_back(entry);
                    return;
                case FileOrder::before:
                    high = middle;
                    break;
                case FileOrder::after:
                    low = middle + 1;
                    break;
                case FileOrder::first_gone:
                    return;
                case FileOrder::second_gone:
                    sorted[middle].erase(sorted[middle].begin());
                    if (sorted[middle].empty()) {
                        sorted.erase(sorted.begin() + static_cast<std::ptrdiff_t>(middle));
                    }
                    low = 0;
                    high = sorted.size();
                    break;
            }
        }
        sorted.insert(sorted.begin() + static_cast<std::ptrdiff_t>(low), {entry});
    };
    std::ranges::for_each(entries, place);
    return sorted;
}

// Who else has it now: a child that was forked before the move, a process that it was passed to.
void FileBook::spread(const Entries& description, GroupId charged) {
    for (const Entry& entry : description) {
        if (entry.charged != GroupId{} || entry.descriptor.pid != entry.holder.pid) {
            continue;
        }
        const auto identity = files_.identity(entry.descriptor);
        if (identity && table_.find(entry.holder) != nullptr) {
            witnesses_[entry.holder][entry.descriptor.number] = {*identity, charged};
        }
    }
}

void FileBook::leave(const Process& process, GroupId from) {
    const auto numbers = files_.descriptors(process.pid);
    if (!numbers) {
        return;
    }
    Files& files = witnesses_[process.id()];
    for (const int number : *numbers) {
        const sys::Descriptor descriptor{process.pid, number};
        const auto identity = files_.identity(descriptor);
        if (identity && charged_to(process.id(), descriptor) == GroupId{}) {
            files[number] = {*identity, from};
        }
    }
    if (files.empty()) {
        witnesses_.erase(process.id());
    }
}

void FileBook::forked(const Process& parent, const Process& child) {
    if (const auto known = witnesses_.find(parent.id()); known != witnesses_.end()) {
        witnesses_[child.id()] = Files(known->second);
    }
}

void FileBook::ended(const Process& process) {
    witnesses_.erase(process.id());
}

// Whoever came back keeps the group as a member does.
std::map<GroupId, std::uint64_t> FileBook::open_elsewhere() {
    std::map<GroupId, Entries> entries;
    for (const Entry& entry : look_at_witnesses(
             [&](const base::ProcessId&holder, GroupId charged) { return !is_member(holder, charged); })) {
        entries[entry.charged].push_back(entry);
    }
    std::map<GroupId, std::uint64_t> open;
    for (const auto& [group, of_group] : entries) {
        open[group] = by_description(of_group).size();
    }
    return open;
}

}  // namespace gpcsup::processes
