#include <linux/cn_proc.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/taskstats.h>

#include <cstring>

#include "sys/connector_layout.h"
#include "sys/netlink.h"

namespace gpcsup::sys {
namespace {

template <class Layout>
std::optional<Layout> take(std::span<const std::byte> bytes, std::size_t offset) {
    if (bytes.size() < offset + sizeof(Layout)) {
        return std::nullopt;
    }
    Layout layout;
    std::memcpy(&layout, bytes.data() + offset, sizeof layout);
    return layout;
}

void fill(ConnectorMessage& message, const proc_event& event) {
    switch (event.what) {
        case proc_event::PROC_EVENT_NONE:
            message.kind = ConnectorKind::acknowledgement;
            message.value = event.event_data.ack.err;
            return;
        case proc_event::PROC_EVENT_FORK:
            message.kind = ConnectorKind::fork;
            message.thread = event.event_data.fork.child_pid;
            message.process = event.event_data.fork.child_tgid;
            message.parent = event.event_data.fork.parent_tgid;
            message.parent_thread = event.event_data.fork.parent_pid;
            return;
        case proc_event::PROC_EVENT_EXEC:
            message.kind = ConnectorKind::exec;
            message.thread = event.event_data.exec.process_pid;
            message.process = event.event_data.exec.process_tgid;
            return;
        case proc_event::PROC_EVENT_UID:
        case proc_event::PROC_EVENT_GID:
            message.kind =
                event.what == proc_event::PROC_EVENT_UID ? ConnectorKind::user : ConnectorKind::group;
            message.thread = event.event_data.id.process_pid;
            message.process = event.event_data.id.process_tgid;
            message.value = event.event_data.id.e.euid;
            return;
        case proc_event::PROC_EVENT_SID:
            message.kind = ConnectorKind::session;
            message.thread = event.event_data.sid.process_pid;
            message.process = event.event_data.sid.process_tgid;
            return;
        case proc_event::PROC_EVENT_EXIT:
            message.kind = ConnectorKind::exit;
            message.thread = event.event_data.exit.process_pid;
            message.process = event.event_data.exit.process_tgid;
            message.value = event.event_data.exit.exit_code;
            return;
        default:
            message.kind = ConnectorKind::other;
    }
}

constexpr std::size_t aligned(std::size_t size) {
    return (size + NLA_ALIGNTO - 1) & ~std::size_t{NLA_ALIGNTO - 1};
}

// The payload of the first attribute of this type; nested attributes have the same form as the outer ones.
std::span<const std::byte> attribute(std::span<const std::byte> attributes, std::uint16_t type) {
    while (const auto header = take<nlattr>(attributes, 0)) {
        if (header->nla_len < sizeof(nlattr) || header->nla_len > attributes.size()) {
            break;
        }
        if ((header->nla_type & NLA_TYPE_MASK) == type) {
            return attributes.subspan(sizeof(nlattr), header->nla_len - sizeof(nlattr));
        }
        attributes = attributes.subspan(std::min(aligned(header->nla_len), attributes.size()));
    }
    return {};
}

}  // namespace

std::optional<ConnectorMessage> parse_connector(std::span<const std::byte> datagram) {
    constexpr std::size_t event_offset = NLMSG_HDRLEN + sizeof(ConnectorHeader);
    const auto connector = take<ConnectorHeader>(datagram, NLMSG_HDRLEN);
    if (!connector || connector->index != connector_index || connector->value != connector_value) {
        return std::nullopt;
    }
    // Older kernels know fewer kinds and send a shorter union: what they leave out stays zero.
    proc_event event{};
    if (datagram.size() < event_offset + offsetof(proc_event, event_data)) {
        return std::nullopt;
    }
    std::memcpy(&event, datagram.data() + event_offset,
                std::min(sizeof event, datagram.size() - event_offset));
    ConnectorMessage message;
    message.cpu = event.cpu;
    message.sequence = connector->sequence;
    message.acknowledged = connector->acknowledged;
    message.timestamp_ns = event.timestamp_ns;
    fill(message, event);
    return message;
}

std::optional<TaskRecord> parse_taskstats(std::span<const std::byte> datagram) {
    constexpr std::size_t header = NLMSG_HDRLEN + GENL_HDRLEN;
    if (datagram.size() < header) {
        return std::nullopt;
    }
    // A second part, TASKSTATS_TYPE_AGGR_TGID, comes with the last thread of a process; it counts children
    // twice.
    const auto aggregate = attribute(datagram.subspan(header), TASKSTATS_TYPE_AGGR_PID);
    const auto pid = take<std::uint32_t>(attribute(aggregate, TASKSTATS_TYPE_PID), 0);
    const auto raw = attribute(aggregate, TASKSTATS_TYPE_STATS);
    if (!pid || raw.size() < offsetof(taskstats, ac_stime) + sizeof(taskstats::ac_stime)) {
        return std::nullopt;
    }
    taskstats stats{};
    std::memcpy(&stats, raw.data(), std::min(sizeof stats, raw.size()));
    TaskRecord record;
    record.thread = static_cast<pid_t>(*pid);
    record.run_ns = stats.cpu_run_virtual_total;
    record.tick_ns = (stats.ac_utime + stats.ac_stime) * 1000;
    return record;
}

}  // namespace gpcsup::sys
