// SPDX-License-Identifier: MIT
#include "agent/flowrecords/ipfix_encoder.h"

#include <cctype>
#include <functional>
#include <string>

#include <fixbuf/public.h>

#include "agent/flowrecords/information_elements.h"

namespace kudo {
namespace {

// libfixbuf's errors, of which one call has at most one.
class FixbufError {
public:
    FixbufError() = default;
    FixbufError(const FixbufError&) = delete;
    FixbufError& operator=(const FixbufError&) = delete;
    ~FixbufError() { g_clear_error(&error_); }
    GError** operator&() {
        g_clear_error(&error_);
        return &error_;
    }
    [[nodiscard]] bool is_full() const { return error_ && g_error_matches(error_, FB_ERROR_DOMAIN, FB_ERROR_EOM); }
    [[nodiscard]] auto failure() const {
        return fail(std::string("libfixbuf: ") + (error_ ? error_->message : "unknown error"));
    }

private:
    GError* error_ = nullptr;
};

} // namespace

struct IpfixEncoder::Session {
    explicit Session(uint32_t enterprise) : own(enterprise), model(fbInfoModelAlloc()) {
        fbInfoModelAddElementArray(model, own.elements);
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session() {
        if (buffer) fBufFree(buffer); // and with it the session and the exporter
        fbInfoModelFree(model);
    }

    Result<void> open(uint32_t domain) {
        FixbufError error;
        fbSession_t* const session = fbSessionAlloc(model);
        fbSessionSetDomain(session, domain);
        fbInfoElementSpec_t specs[max_specs];
        layout_spec(specs);
        fbTemplate_t* layout = fbTemplateAlloc(model);
        if (!fbTemplateAppendSpecArray(layout, specs, 0, &error) ||
            fbSessionAddTemplate(session, TRUE, template_ipv4, layout, &error) == 0)
            return error.failure();
        for (const auto& [id, family] : {std::pair{template_ipv4, 4U}, std::pair{template_ipv6, 6U}}) {
            sent_spec(family, specs);
            fbTemplate_t* const sent = fbTemplateAlloc(model);
            if (!fbTemplateAppendSpecArray(sent, specs, 0, &error) ||
                fbSessionAddTemplate(session, FALSE, id, sent, &error) == 0)
                return error.failure();
        }
        fbTemplate_t* const types = fbInfoElementAllocTypeTemplate(model, &error);
        if (!types || fbSessionAddTemplate(session, TRUE, template_types, types, &error) == 0 ||
            fbSessionAddTemplate(session, FALSE, template_types, types, &error) == 0)
            return error.failure();
        exporter = fbExporterAllocBuffer(message, sizeof message);
        buffer = fBufAllocForExport(session, exporter);
        fBufSetAutomaticMode(buffer, FALSE);
        return {};
    }

    // Ends the message that is being written, if there is one: else its length would be that of the last one.
    Result<void> end_message() {
        FixbufError error;
        message[0] = message[1] = 0; // the version
        if (!fBufEmit(buffer, &error)) return error.failure();
        if (message[1] != 0)
            messages.emplace_back(reinterpret_cast<const char*>(message), fbExporterGetMsgLen(exporter));
        return {};
    }

    // Writes something, in a message of its own if this one has no room for it.
    Result<void> append(const std::function<bool(GError**)>& write) {
        FixbufError error;
        if (write(&error)) return {};
        if (!error.is_full()) return error.failure();
        KUDO_TRY(end_message());
        if (write(&error)) return {};
        return error.failure();
    }

    OwnElements own;
    fbInfoModel_t* model;
    fbExporter_t* exporter = nullptr; // the buffer's
    fBuf_t* buffer = nullptr;
    uint8_t message[max_message] = {};
    std::vector<std::string> messages;
};

IpfixEncoder::IpfixEncoder(std::unique_ptr<Session> session) : session_(std::move(session)) {}
IpfixEncoder::IpfixEncoder(IpfixEncoder&&) noexcept = default;
IpfixEncoder& IpfixEncoder::operator=(IpfixEncoder&&) noexcept = default;
IpfixEncoder::~IpfixEncoder() = default;

Result<IpfixEncoder> IpfixEncoder::make(uint32_t enterprise, uint32_t domain) {
    auto session = std::make_unique<Session>(enterprise);
    KUDO_TRY(session->open(domain));
    return IpfixEncoder(std::move(session));
}

Result<std::vector<std::string>> IpfixEncoder::templates() {
    Session& session = *session_;
    KUDO_TRY(session.append(
        [&](GError** error) { return fbSessionExportTemplates(fBufGetSession(session.buffer), error) != FALSE; }));
    const auto append_type = [&session](const std::string& name) {
        return session.append([&](GError** error) {
            const fbInfoElement_t* const known = fbInfoModelGetElementByName(session.model, name.c_str());
            return fBufSetInternalTemplate(session.buffer, template_types, error) != FALSE &&
                   fBufSetExportTemplate(session.buffer, template_types, error) != FALSE &&
                   fbInfoElementWriteOptionsRecord(session.buffer, known, template_types, template_types, error) !=
                       FALSE;
        });
    };
    for (const fbInfoElement_t* element = session.own.elements; element->ref.name != nullptr; element++) {
        std::string name = element->ref.name;
        KUDO_TRY(append_type(name));
        if ((element->flags & FB_IE_F_REVERSIBLE) == 0) continue;
        name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
        KUDO_TRY(append_type("reverse" + name)); // as libfixbuf has called it
    }
    KUDO_TRY(session.end_message());
    return std::exchange(session.messages, {});
}

Result<std::vector<std::string>> IpfixEncoder::records(std::span<const DataRecord> records) {
    Session& session = *session_;
    for (const DataRecord& record : records) {
        const uint16_t id = record.flow.family == 4 ? template_ipv4 : template_ipv6;
        ExportRecord laid_out = export_record(record);
        KUDO_TRY(session.append([&](GError** error) {
            return fBufSetInternalTemplate(session.buffer, template_ipv4, error) != FALSE &&
                   fBufSetExportTemplate(session.buffer, id, error) != FALSE &&
                   fBufAppend(session.buffer, reinterpret_cast<uint8_t*>(&laid_out), sizeof laid_out, error) != FALSE;
        }));
    }
    KUDO_TRY(session.end_message());
    return std::exchange(session.messages, {});
}

} // namespace kudo
