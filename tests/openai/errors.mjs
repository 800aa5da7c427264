// Errors in the shape of OpenAI's API: {"error": {message, type, param, code}}. An ApiError is
// thrown wherever a request turns out to be wrong and becomes a response in handler.mjs alone.

export class ApiError extends Error {
	constructor(status, message,
		{ type = 'invalid_request_error', param = null, code = null } = {}) {
		super(message);
		this.status = status;
		this.type = type;
		this.param = param;
		this.code = code;
	}

	body() {
		const { message, type, param, code } = this;
		return { error: { message, type, param, code } };
	}
}

// A parameter that is present but wrong.
export function badParameter(param, message) {
	return new ApiError(400, `Invalid '${param}': ${message}.`,
		{ param, code: 'invalid_value' });
}

export function missingParameter(param) {
	return new ApiError(400, `Missing required parameter: '${param}'.`, {
		param, code: 'missing_required_parameter',
	});
}
